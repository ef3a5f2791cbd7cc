// SPDX-License-Identifier: MIT
//
// pci: the functions of a machine.
//
// Vocabulary
//   Function   one PCI function: its address, what it is, the driver bound to it
//
// Owners: the machine owns its functions for as long as it lives.

#pragma once

#include "pci/function.h"
