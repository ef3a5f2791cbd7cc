// SPDX-License-Identifier: MIT
//
// What groups share: one IOMMU driver and its mappings (drivers/vfio/container.c).

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fs/file.h"
#include "iommu/dma_ownership.h"
#include "vfio/iommu_backend.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

class Group;
class IommuDriver;
class Module;

class Container final : public RefCounted {
  public:
    explicit Container(Module& module);

    /// VFIO_CHECK_EXTENSION: the value of the driver that is set, else the first positive value of
    /// the drivers that could be set. Does not fail.
    Result<std::int64_t> check_extension(fs::Task& task, std::uint64_t extension) EXCLUDES(mutex_);
    /// VFIO_SET_IOMMU. Tries each driver that claims the type until one succeeds.
    /// EINVAL the container has no group, or its driver is set already
    /// ENODEV no driver claims the type
    /// and what IommuDriver::open() or IommuBackend::attach_group() of the last one tried says
    Result<std::int64_t> set_iommu(fs::Task& task, std::uint64_t type) EXCLUDES(mutex_);
    /// VFIO_GET_API_VERSION. Does not fail.
    Result<std::int64_t> get_api_version(fs::Task& task, std::uint64_t argument);
    /// The backend that is set, or null.
    Ref<IommuBackend> backend() EXCLUDES(mutex_);

    // --- for groups, which hold their own lock ---

    /// Adds a group and, unless it is emulated or has no IOMMU, claims its DMA.
    /// EPERM a group without an IOMMU, and the task lacks CAP_SYS_RAWIO
    /// EPERM groups with and without an IOMMU would mix
    /// and what iommu::Group::claim_dma_owner() says
    /// and what IommuBackend::attach_group() says when a driver is set
    Result<> attach_group(fs::Task& task, Group& group) EXCLUDES(mutex_);
    /// Removes a group. With the last one the backend and its mappings are removed too: returned,
    /// so that the caller puts the reference without a lock.
    Ref<IommuBackend> detach_group(Group& group) EXCLUDES(mutex_);

  private:
    struct Member {
        Group* group;
        iommu::DmaOwnership ownership;  // none of a group without an IOMMU
    };

    bool allowed(const IommuDriver& driver) const REQUIRES(mutex_);
    Result<> attach_all(fs::Task& task, IommuBackend& backend) REQUIRES(mutex_);

    Module& module_;
    Mutex mutex_{lock_order::kContainer};            // group_lock
    std::vector<Member> groups_ GUARDED_BY(mutex_);  // the newest first
    Ref<IommuBackend> backend_ GUARDED_BY(mutex_){"vfio_container.iommu_data"};
    bool noiommu_ GUARDED_BY(mutex_) = false;
};

class ContainerFile final : public fs::File {
  public:
    ContainerFile(Module& module, int flags);

    Container& container() { return *container_; }
    /// EINVAL the request is not the container's own, and no driver is set
    /// and what the request says: Container, else IommuBackend::ioctl()
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;

  private:
    Ref<Container> container_{"/dev/vfio/vfio"};
};

}  // namespace kvmiommu::vfio
