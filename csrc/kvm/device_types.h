// SPDX-License-Identifier: MIT
//
// What kinds of devices a virtual machine can be asked for (virt/kvm/kvm_main.c:
// kvm_device_ops_table). In a KVM of 2013 the number of the VFIO device was to be another's.

#pragma once

#include <cstdint>
#include <memory>

#include "kvm/device.h"
#include "kvm/module.h"

namespace kvmiommu::kvm {

struct DeviceType {
    std::uint32_t number;  // KVM_DEV_TYPE_*
    // Errno for a second one in a virtual machine; 0: there may be any number.
    int once;
    Source create;
    std::unique_ptr<Device> (*make)(Vm& vm);
};

/// Null: this KVM has no such devices.
const DeviceType* device_type(const Module& module, std::uint32_t number);

}  // namespace kvmiommu::kvm
