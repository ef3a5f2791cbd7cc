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
    emulated,  // the device's driver, which pins each page
    noiommu,   // nothing
};

class IommuBackend : public RefCounted {
  public:
    /// Requests that are not the container's own.
    /// ENOTTY the request is unknown
    /// and what the request says
    virtual Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) = 0;
    /// VFIO_CHECK_EXTENSION for this container.
    virtual std::int64_t check_extension(std::uint64_t extension) = 0;
    /// A group joins. Nothing has changed when it fails; the errors are the implementation's.
    virtual Result<> attach_group(fs::Task& task, iommu::Group& group, GroupType type) = 0;
    virtual void detach_group(iommu::Group& group) = 0;
    /// Valid as long as the backend; null: emulated devices cannot use it.
    virtual DmaAccess* dma_access() { return nullptr; }

  protected:
    using RefCounted::RefCounted;
};

}  // namespace kvmiommu::vfio
