// SPDX-License-Identifier: MIT
//
// What a container's IOMMU can be (drivers/vfio/vfio.h: vfio_iommu_driver_ops).

#pragma once

#include <cstdint>

#include "base/base.h"
#include "fs/task.h"
#include "iommu/group.h"

namespace kvmiommu::vfio {

/// How a group's DMA is controlled.
enum class GroupType : std::uint8_t {
    iommu,     // by an IOMMU
    emulated,  // by the driver, which asks for each page
    noiommu,   // not at all
};

/// What a driver keeps for one container.
class IommuBackend : public RefCounted {
  public:
    /// Requests that the container does not know itself. ENOTTY.
    virtual Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) = 0;
    /// VFIO_CHECK_EXTENSION for this container.
    virtual std::int64_t check_extension(std::uint64_t extension) = 0;
    virtual Result<> attach_group(fs::Task& task, iommu::Group& group, GroupType type) = 0;
    virtual void detach_group(iommu::Group& group) = 0;

  protected:
    using RefCounted::RefCounted;
};

class IommuDriver {
  public:
    virtual ~IommuDriver() = default;
    IommuDriver(const IommuDriver&) = delete;
    IommuDriver& operator=(const IommuDriver&) = delete;

    /// Is this the driver of groups without an IOMMU? They and others do not mix.
    virtual bool noiommu() const { return false; }
    /// VFIO_CHECK_EXTENSION without a container; a positive answer claims a SET_IOMMU of it too.
    virtual std::int64_t check_extension(std::uint64_t extension) const = 0;
    /// A backend of the given type. EINVAL not one of this driver's, EPERM.
    virtual Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) = 0;

  protected:
    IommuDriver() = default;
};

}  // namespace kvmiommu::vfio
