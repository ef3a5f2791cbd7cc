// SPDX-License-Identifier: MIT
//
// Devices that KVM emulates: made by KVM_CREATE_DEVICE, driven by attributes
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

/// What a kind of device does. What it does not provide is refused with EPERM before the caller's
/// struct is looked at.
class Device {
  public:
    using Attribute = uapi::kvm_device_attr;

    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// "kvm-vfio": what the descriptor is called.
    virtual const char* name() const = 0;
    virtual bool sets() const { return false; }
    virtual bool gets() const { return false; }
    virtual bool has() const { return false; }
    virtual Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute);
    virtual Result<std::int64_t> get_attribute(fs::Task& task, const Attribute& attribute);
    virtual Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute);
    /// ENODEV, but for what is a table.
    virtual Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request);

  protected:
    Device() = default;
    /// For a device with one group of attributes, whose numbers mean nothing: 0, or ENXIO for
    /// another group.
    static Result<std::int64_t> check_group(const Attribute& attribute, std::uint32_t group);
};

class DeviceFile final : public fs::File {
  public:
    DeviceFile(Ref<Vm> vm, std::unique_ptr<Device> device);
    ~DeviceFile() override;

    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request) override {
        return device_->mmap(task, request);
    }

    // --- requests ---

    Result<std::int64_t> set_attribute(fs::Task& task, std::uint64_t argument);
    Result<std::int64_t> get_attribute(fs::Task& task, std::uint64_t argument);
    Result<std::int64_t> has_attribute(fs::Task& task, std::uint64_t argument);

  private:
    Ref<Vm> vm_{"kvm_device.kvm"};
    std::unique_ptr<Device> device_;
};

}  // namespace kvmiommu::kvm
