// SPDX-License-Identifier: MIT
//
// pci: the PCI functions of a machine (drivers/pci; PCI Local Bus Specification 3.0).
//
// Vocabulary
//   Function       one PCI function: its address, its model, the driver bound to it
//   ConfigSpace    configuration space of the hardware
//   Bar            a region of memory or I/O ports; its pages are memory or trapped
//   trapped        each access is a call of the model
//   DeviceModel    the hardware of a function
//   Interrupts     its INTx line and its messages (MSI, MSI-X)
//   InterruptSink  the driver that handles them
//
// Owners: the machine owns its functions until it ends; a function owns its model and its DMA port.
//
// Locks: lock_order.h. A model is called without a lock, and raises interrupts and does DMA without
// its own.

#pragma once

#include "pci/bar.h"
#include "pci/config_space.h"
#include "pci/device_model.h"
#include "pci/function.h"
#include "pci/interrupts.h"
#include "pci/models.h"
#include "pci/registers.h"
