// SPDX-License-Identifier: MIT
//
// kvm: virtual machines as far as devices and I/O page tables concern them. There is no processor.
//
// Vocabulary
//   Module        KVM as loaded: /dev/kvm and the capabilities it shows
//   Vm            a virtual machine (struct kvm): the address space of its creator, memory slots,
//                 devices
//   MemorySlots   guest physical memory: which user addresses stand behind it (kvm_memory_slot)
//   Device        a device that KVM emulates for a Vm (kvm_device), driven by attributes
//   VfioDevice    the pseudo device that tells KVM which VFIO files serve the Vm (kvm_vfio)
//   TceLink       a guest's bus that is linked to an IOMMU group, as proposed in 2013
//   VfioSymbols   the few questions KVM asks of a VFIO file; absent when VFIO is not loaded
//
// Owners
//   A Vm lives while its descriptor, one of its devices' descriptors or a VFIO device that serves
//   it is open. A Device belongs to its descriptor. A VfioDevice holds the files it was given.
//
// Locks: lock_order.h. No reference to a File is put with one held.

#pragma once

#include "kvm/device.h"
#include "kvm/memory_slots.h"
#include "kvm/module.h"
#include "kvm/vfio_symbols.h"
#include "kvm/vm.h"
