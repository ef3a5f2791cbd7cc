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

    /// Is this the driver of groups without an IOMMU? They and others do not mix.
    virtual bool noiommu() const { return false; }
    /// VFIO_CHECK_EXTENSION without a container; what is positive claims a SET_IOMMU of it too.
    virtual std::int64_t check_extension(std::uint64_t extension) const = 0;
    /// A backend of the given type.
    /// EINVAL not one of this driver's
    /// EPERM the task may not use it
    /// ENOMEM told to fail
    virtual Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) = 0;

  protected:
    IommuDriver() = default;
};

}  // namespace kvmiommu::vfio
