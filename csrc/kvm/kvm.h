// SPDX-License-Identifier: MIT
//
// kvm: the parts of virtual machines that concern devices and I/O page tables (virt/kvm,
// arch/powerpc/kvm). There is no processor.
//
// Vocabulary
//   Module        KVM as loaded: /dev/kvm and its capabilities
//   Vm            a virtual machine (struct kvm): the address space of its creator, memory slots,
//                 devices
//   MemorySlots   guest physical memory, mapped to user addresses (kvm_memory_slot)
//   Device        a device that KVM emulates for a Vm (kvm_device), controlled by attributes
//   VfioDevice    the pseudo device with the VFIO files that serve the Vm (kvm_vfio)
//   Vcpu          a queue of hypercalls that KVM_RUN performs (kvm_vcpu)
//   TceLink       a guest's bus that is linked to an IOMMU group, as proposed in 2013
//   VfioSymbols   the functions of VFIO that KVM calls; absent when VFIO is not loaded
//
// Owners
//   A Vm exists while its descriptor, a descriptor of one of its devices, vcpus or tables, or an
//   open VFIO device that serves it holds a reference. A Device belongs to its descriptor. A
//   VfioDevice holds references to its files.
//
// Locks: lock_order.h. No reference to a File is put with a lock held.

#pragma once

#include "kvm/device.h"
#include "kvm/memory_slots.h"
#include "kvm/module.h"
#include "kvm/vfio_symbols.h"
#include "kvm/vm.h"
