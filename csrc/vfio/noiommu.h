// SPDX-License-Identifier: MIT
//
// The driver for groups without an IOMMU: it maps nothing (drivers/vfio/container.c:
// vfio_noiommu_ops).

#pragma once

#include "fs/kernel.h"
#include "vfio/iommu_driver.h"
#include "vfio/module.h"

namespace kvmiommu::vfio {

class NoiommuDriver final : public IommuDriver {
  public:
    NoiommuDriver(fs::Kernel& kernel, const Options& options)
        : kernel_(kernel), options_(options) {}

    bool noiommu() const override { return true; }
    std::int64_t check_extension(std::uint64_t extension) const override;
    /// EINVAL the type is not VFIO_NOIOMMU_IOMMU
    /// EPERM the task lacks CAP_SYS_RAWIO
    Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) override;

  private:
    fs::Kernel& kernel_;
    const Options& options_;
};

}  // namespace kvmiommu::vfio
