// SPDX-License-Identifier: MIT
//
// pci: the functions of a machine.
//
// Vocabulary
//   Function       one PCI function: its address, what it is, the driver bound to it
//   ConfigSpace    its configuration space as the hardware has it
//   Bar            a region that the processor reaches; its pages are memory or trapped
//   trapped        each access is a call of the model
//   DeviceModel    what the function does: the hardware behind all this
//   Interrupts     its INTx line and its messages (MSI, MSI-X)
//   InterruptSink  the driver that handles them
//
// Owners: the machine owns its functions for as long as it lives; a function owns its model and its
// DMA port.
//
// Locks: lock_order.h. A model is called without a lock, and calls its function's interrupts and
// DMA without its own.

#pragma once

#include "pci/bar.h"
#include "pci/config_space.h"
#include "pci/device_model.h"
#include "pci/function.h"
#include "pci/interrupts.h"
#include "pci/models.h"
#include "pci/registers.h"
