// SPDX-License-Identifier: MIT
//
// A kind of IOMMU that a container can have (drivers/vfio/vfio.h: vfio_iommu_driver).

#pragma once

#include <cstdint>

#include "base/base.h"
#include "fs/task.h"
#include "vfio/iommu_backend.h"

namespace kvmiommu::vfio {

class IommuDriver {
  public:
    virtual ~IommuDriver() = default;
    IommuDriver(const IommuDriver&) = delete;
    IommuDriver& operator=(const IommuDriver&) = delete;

    /// Is this the driver for groups without an IOMMU? They do not mix with others.
    virtual bool noiommu() const { return false; }
    /// VFIO_CHECK_EXTENSION before a driver is set. A positive value also claims a SET_IOMMU with
    /// that number.
    virtual std::int64_t check_extension(std::uint64_t extension) const = 0;
    /// A backend of the given type. Each driver checks in its own order.
    /// EINVAL the type is not one of this driver's
    /// EPERM the task lacks the capability
    /// ENOMEM an injected failure
    virtual Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) = 0;

  protected:
    IommuDriver() = default;
};

}  // namespace kvmiommu::vfio
