// SPDX-License-Identifier: MIT
//
// An emulated device, whose driver pins pages (include/linux/vfio.h: vfio_device_ops.dma_unmap).

#pragma once

#include <cstdint>

namespace kvmiommu::vfio {

/// It pins the pages that its device accesses, and unpins them before they are unmapped.
class DmaUser {
  public:
    virtual ~DmaUser() = default;
    /// Called, without a lock, before [iova, iova + size) is unmapped: unpins every page of it.
    virtual void dma_unmap(std::uint64_t iova, std::uint64_t size) = 0;

  protected:
    DmaUser() = default;
};

}  // namespace kvmiommu::vfio
