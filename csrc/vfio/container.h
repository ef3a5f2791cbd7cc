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

    /// VFIO_CHECK_EXTENSION: what the driver that is set says, else the first positive value of
    /// those that could be set.
    Result<std::int64_t> check_extension(fs::Task& task, std::uint64_t extension) EXCLUDES(mutex_);
    /// VFIO_SET_IOMMU: EINVAL no group or a driver is set, ENODEV no driver claims the type, else
    /// the last one's errno.
    Result<std::int64_t> set_iommu(fs::Task& task, std::uint64_t type) EXCLUDES(mutex_);
    Result<std::int64_t> get_api_version(fs::Task& task, std::uint64_t argument);
    /// The backend that is set, or null.
    Ref<IommuBackend> backend() EXCLUDES(mutex_);

    // --- for groups, which hold their own lock ---

    /// Takes a group in: EPERM without CAP_SYS_RAWIO for one without an IOMMU, or when it and
    /// others would mix; the errno of claiming its DMA or of the driver.
    Result<> attach_group(fs::Task& task, Group& group) EXCLUDES(mutex_);
    /// With the last group the driver and all mappings go; they are returned, to be put
    /// without a lock.
    Ref<IommuBackend> detach_group(Group& group) EXCLUDES(mutex_);

  private:
    struct Member {
        Group* group;
        iommu::DmaOwnership ownership;  // none of a group without an IOMMU
    };

    bool allowed(const IommuDriver& driver) const REQUIRES(mutex_);
    Result<> attach_all(fs::Task& task, IommuBackend& backend) REQUIRES(mutex_);

    Module& module_;
    Mutex mutex_{lock_order::kContainer};                                    // group_lock
    std::vector<Member> groups_ GUARDED_BY(mutex_);  // the newest first
    Ref<IommuBackend> backend_ GUARDED_BY(mutex_){"vfio_container.iommu_data"};
    bool noiommu_ GUARDED_BY(mutex_) = false;
};

class ContainerFile final : public fs::File {
  public:
    ContainerFile(Module& module, int flags);

    Container& container() { return *container_; }
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;

  private:
    Ref<Container> container_{"/dev/vfio/vfio"};
};

}  // namespace kvmiommu::vfio
