// SPDX-License-Identifier: MIT
//
// How a driver that does without an IOMMU reaches what the user has mapped for its device
// (include/linux/vfio.h: vfio_pin_pages, vfio_unpin_pages, vfio_dma_rw).

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/base.h"
#include "fs/task.h"

namespace kvmiommu::vfio {

class DmaUser;

/// What a device is bound to from its first open to its last close. Only Device calls it.
class DmaAccess {
  public:
    virtual ~DmaAccess() = default;

    /// From here on `device` is called before pages of it are unmapped.
    virtual void register_device(DmaUser& device) = 0;
    /// When it returns nothing calls the device any more.
    virtual void unregister_device(DmaUser& device) = 0;

    /// Pins `pages.size()` pages from `iova` on, for reading or writing by the device, and returns
    /// where they are. All or none; the errors are the implementation's.
    virtual Result<> pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                               std::span<mm::PhysAddr> pages) = 0;
    /// Unpins `count` pages that pin_pages() pinned.
    virtual void unpin_pages(std::uint64_t iova, std::uint64_t count) = 0;
    /// Reads or writes what the user has mapped at `iova`; the errors are the implementation's.
    virtual Result<> dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data,
                            bool write) = 0;

  protected:
    DmaAccess() = default;
};

}  // namespace kvmiommu::vfio
