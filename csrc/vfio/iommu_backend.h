// SPDX-License-Identifier: MIT
//
// What an IOMMU driver keeps for one container (drivers/vfio/vfio.h: the first argument of
// vfio_iommu_driver_ops, iommu_data).

#pragma once

#include <cstdint>

#include "base/base.h"
#include "fs/task.h"
#include "iommu/group.h"

namespace kvmiommu::vfio {

class DmaAccess;

/// What translates a group's DMA (enum vfio_group_type).
enum class GroupType : std::uint8_t {
    iommu,     // an IOMMU
    emulated,  // the device's driver, which asks for each page
    noiommu,   // nothing
};

class IommuBackend : public RefCounted {
  public:
    /// Requests that the container does not know itself.
    /// ENOTTY the driver does not know it either
    virtual Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) = 0;
    /// VFIO_CHECK_EXTENSION for this container.
    virtual std::int64_t check_extension(std::uint64_t extension) = 0;
    virtual Result<> attach_group(fs::Task& task, iommu::Group& group, GroupType type) = 0;
    virtual void detach_group(iommu::Group& group) = 0;
    /// Lives as long as this; null: the driver pins no pages and moves no data for others.
    virtual DmaAccess* dma_access() { return nullptr; }

  protected:
    using RefCounted::RefCounted;
};

}  // namespace kvmiommu::vfio
