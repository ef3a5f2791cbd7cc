// SPDX-License-Identifier: MIT
//
// The types of devices that KVM_CREATE_DEVICE knows (virt/kvm/kvm_main.c: kvm_device_ops_table).
// The proposals of 2013 use the number of the VFIO device for another type.

#pragma once

#include <cstdint>
#include <memory>

#include "kvm/device.h"
#include "kvm/module.h"

namespace kvmiommu::kvm {

struct DeviceType {
    std::uint32_t number;  // KVM_DEV_TYPE_*
    // Errno for a second one in a virtual machine; 0: any number is allowed.
    int once;
    Source create;
    std::unique_ptr<Device> (*make)(Vm& vm);
};

/// The type of a number; null: unknown to this KVM.
const DeviceType* device_type(const Module& module, std::uint32_t number);

}  // namespace kvmiommu::kvm
