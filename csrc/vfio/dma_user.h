// SPDX-License-Identifier: MIT
//
// A device whose driver does the work of an IOMMU (include/linux/vfio.h: vfio_device_ops.dma_unmap).

#pragma once

#include <cstdint>

namespace kvmiommu::vfio {

/// It pins the pages that it lets its device reach, and unpins them when their mapping is to go.
class DmaUser {
  public:
    virtual ~DmaUser() = default;
    /// [iova, iova + size) is about to be unmapped: unpin every page of it. Called without a lock.
    virtual void dma_unmap(std::uint64_t iova, std::uint64_t size) = 0;

  protected:
    DmaUser() = default;
};

}  // namespace kvmiommu::vfio
