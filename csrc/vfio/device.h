// SPDX-License-Identifier: MIT
//
// A device bound to a VFIO driver, and its descriptors (drivers/vfio/vfio_main.c).

#pragma once

#include <cstdint>
#include <string>

#include "base/base.h"
#include "fs/file.h"
#include "pci/function.h"

namespace kvmiommu::vfio {

class Group;

class Device {
  public:
    Device(Group& group, const pci::Function& function);
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const std::string& name() const { return function_.address; }
    const pci::Function& function() const { return function_; }
    Group& group() { return group_; }

    /// Can all its DMA be made to snoop the caches?
    bool enforced_coherent() const;

    /// A new descriptor's file, through its group. As Group::open_device().
    Result<Ref<fs::File>> open(fs::Task& task);

  private:
    friend class Group;

    Group& group_;
    const pci::Function function_;
    // The group's lock guards these: while a descriptor is open the group's file stays open.
    std::uint32_t open_count_ = 0;
    Ref<fs::File> group_file_{"vfio_device.group file"};
    Ref<RefCounted> kvm_{"vfio_device.kvm"};
};

class DeviceFile final : public fs::File {
  public:
    explicit DeviceFile(Device& device);
    ~DeviceFile() override;

    const Device& device() const { return device_; }
    Device& device() { return device_; }

  private:
    Device& device_;
};

}  // namespace kvmiommu::vfio
