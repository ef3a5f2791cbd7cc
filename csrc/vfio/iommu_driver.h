// SPDX-License-Identifier: MIT
//
// What a container's IOMMU can be (drivers/vfio/vfio.h: vfio_iommu_driver_ops).

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

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

/// A device whose driver does the work of an IOMMU: it pins the pages that it lets its device
/// reach, and unpins them when their mapping is to go (vfio_device_ops: dma_unmap).
class DmaUser {
  public:
    virtual ~DmaUser() = default;
    /// [iova, iova + size) is about to be unmapped: unpin every page of it. Called without a lock.
    virtual void dma_unmap(std::uint64_t iova, std::uint64_t size) = 0;

  protected:
    DmaUser() = default;
};

/// What a driver keeps for one container.
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

    // --- for devices without an IOMMU; a driver that maps nothing refuses
    // (drivers/vfio/container.c: vfio_device_container_pin_pages) ---

    /// A device that is told of unmaps, from its first open to its last close.
    virtual void register_device(DmaUser&) {}
    /// When it returns nothing calls the device any more.
    virtual void unregister_device(DmaUser&) {}
    /// Pins `pages.size()` pages from `iova` on, for reading or writing by the device, and returns
    /// where they are. All or none.
    /// EINVAL the driver pins no pages
    /// and what the driver refuses
    virtual Result<> pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                               std::span<mm::PhysAddr> pages);
    /// Unpins `count` pages that pin_pages() pinned.
    virtual void unpin_pages(std::uint64_t, std::uint64_t) {}
    /// Reads or writes what the user has mapped at `iova`.
    /// EINVAL the driver maps nothing that could be read or written
    /// and what the driver refuses
    virtual Result<> dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data,
                            bool write);

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
