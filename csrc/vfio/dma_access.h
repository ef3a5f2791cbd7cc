// SPDX-License-Identifier: MIT
//
// How the driver of an emulated device reaches the memory that the user has mapped for it
// (include/linux/vfio.h: vfio_pin_pages, vfio_unpin_pages, vfio_dma_rw).

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/base.h"
#include "fs/task.h"

namespace kvmiommu::vfio {

class DmaUser;

/// A device uses one from its first open to its last close. Only Device calls it.
class DmaAccess {
  public:
    virtual ~DmaAccess() = default;

    /// `device` is called before an unmap from now on.
    virtual void register_device(DmaUser& device) = 0;
    /// `device` is not called any more once this has returned.
    virtual void unregister_device(DmaUser& device) = 0;

    /// Pins `pages.size()` pages from `iova` on with `protection`, iommu::kRead | iommu::kWrite,
    /// and stores their physical addresses. All or none; the errors are the implementation's.
    virtual Result<> pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                               std::span<mm::PhysAddr> pages) = 0;
    /// Unpins `count` pages that pin_pages() pinned.
    virtual void unpin_pages(std::uint64_t iova, std::uint64_t count) = 0;
    /// Reads or writes the memory that is mapped at `iova`; the errors are the implementation's.
    virtual Result<> dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data,
                            bool write) = 0;

  protected:
    DmaAccess() = default;
};

}  // namespace kvmiommu::vfio
