// SPDX-License-Identifier: MIT
//
// Devices that KVM emulates: created by KVM_CREATE_DEVICE, controlled by attributes
// (virt/kvm/kvm_main.c: kvm_device, kvm_device_ops).

#pragma once

#include <cstdint>
#include <memory>

#include "base/base.h"
#include "fs/file.h"
#include "fs/ioctl.h"
#include "uapi/kvm.h"

namespace kvmiommu::kvm {

class Vm;

/// The operations of a type of device. One that it does not provide is refused with EPERM before
/// the caller's struct is read.
class Device {
  public:
    using Attribute = uapi::kvm_device_attr;

    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// The name of the descriptor's file: "kvm-vfio".
    virtual const char* name() const = 0;
    virtual bool sets() const { return false; }
    virtual bool gets() const { return false; }
    virtual bool has() const { return false; }
    /// EPERM the type of device does not provide it
    /// and what the type of device says
    virtual Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute);
    virtual Result<std::int64_t> get_attribute(fs::Task& task, const Attribute& attribute);
    virtual Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute);
    /// ENODEV the device cannot be mapped
    virtual Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request);

  protected:
    Device() = default;
    /// For a device with one group of attributes, whose numbers are ignored: returns 0.
    /// ENXIO another group
    static Result<std::int64_t> check_group(const Attribute& attribute, std::uint32_t group);
};

class DeviceFile final : public fs::File {
  public:
    DeviceFile(Ref<Vm> vm, std::unique_ptr<Device> device);
    ~DeviceFile() override;

    /// EIO the task's address space is not the virtual machine's
    /// ENOTTY the request is unknown
    /// and what the request says, below
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request) override {
        return device_->mmap(task, request);
    }

    // --- requests ---

    /// EPERM the device does not provide it
    /// EFAULT the attribute cannot be read
    /// and what the device says
    Result<std::int64_t> set_attribute(fs::Task& task, std::uint64_t argument);
    Result<std::int64_t> get_attribute(fs::Task& task, std::uint64_t argument);
    Result<std::int64_t> has_attribute(fs::Task& task, std::uint64_t argument);

  private:
    Ref<Vm> vm_{"kvm_device.kvm"};
    std::unique_ptr<Device> device_;
};

}  // namespace kvmiommu::kvm
