// SPDX-License-Identifier: MIT
//
// The IOMMU driver of VFIO_SPAPR_TCE_IOMMU and VFIO_SPAPR_TCE_v2_IOMMU: windows of TCEs that the
// groups of a container share (drivers/vfio/vfio_iommu_spapr_tce.c: tce_container).
//
// Version 1 pins each page when it is mapped and charges the whole window beforehand; version 2
// maps only memory that was registered, and makes and removes windows.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "fs/ioctl.h"
#include "fs/kernel.h"
#include "spapr/spapr.h"
#include "uapi/vfio.h"
#include "vfio/iommu_driver.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

class TceDriver final : public IommuDriver {
  public:
    /// `eeh`: does the platform have Enhanced Error Handling?
    TceDriver(fs::Kernel& kernel, bool eeh) : kernel_(kernel), eeh_(eeh) {}

    std::int64_t check_extension(std::uint64_t extension) const override;
    /// EINVAL the type is neither version
    /// ENOMEM an injected failure
    Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) override;

  private:
    fs::Kernel& kernel_;
    const bool eeh_;
};

class TceContainer final : public IommuBackend {
  public:
    TceContainer(fs::Kernel& kernel, const TceDriver& driver, bool v2);
    ~TceContainer() override;

    /// EPERM the task's address space is not the container's
    /// ENOTTY the request is unknown to this version
    /// and what the request says, below
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override EXCLUDES(mutex_);
    std::int64_t check_extension(std::uint64_t extension) override {
        return driver_.check_extension(extension);
    }
    /// EINVAL the group is emulated
    /// ENODEV the group has no windows
    /// EBUSY version 1 has a group already
    /// EBUSY the group is in the container already
    /// EPERM a group of another platform is in the container
    /// ENOMEM an injected failure
    /// and what TableGroup::set_window() says; then the group has no windows of the container
    Result<> attach_group(fs::Task& task, iommu::Group& group, GroupType type) override
        EXCLUDES(mutex_);
    void detach_group(iommu::Group& group) override EXCLUDES(mutex_);
    /// The table of the default window, which is made if it is pending.
    /// ENODEV version 2, whose entries do not pin their pages
    /// and what work_for() and create_default_window() say
    /// ENODEV the default window was removed
    Result<Ref<spapr::HardwareTable>> default_table(fs::Task& task) EXCLUDES(mutex_);

    // --- requests ---

    /// ENXIO the container has no group
    /// EFAULT the struct cannot be read
    /// EINVAL argsz is below the smallest struct
    /// EFAULT the struct cannot be written back
    Result<std::int64_t> get_info(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// EBUSY the container is enabled already
    /// ENODEV the container has no group
    /// EPERM the group has no default window
    /// and what work_for() says
    /// ENOMEM the charge of the whole window would pass RLIMIT_MEMLOCK
    Result<std::int64_t> enable(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// Does not fail.
    Result<std::int64_t> disable(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// EPERM the container is not enabled
    /// EFAULT the struct cannot be read
    /// EINVAL argsz is below the struct
    /// EINVAL flags other than read and write
    /// and what create_default_window() says
    /// ENXIO iova is in no window
    /// EINVAL size or vaddr is not a multiple of the window's page
    /// EINVAL neither read nor write
    /// iova is not aligned: what check_failed() says
    /// and what build() says
    Result<std::int64_t> map_dma(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// EPERM the container is not enabled
    /// and what take_without_flags() says
    /// and what create_default_window() says
    /// ENXIO iova is in no window
    /// EINVAL size is not a multiple of the window's page
    /// iova is not aligned, or (with a kernel bug fixed) past the window's end: what check_failed()
    /// says
    Result<std::int64_t> unmap_dma(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// What work_for() says
    /// and what take_without_flags() says
    /// EINVAL vaddr or size is not a multiple of the page, or vaddr + size wraps
    /// and what RegisteredMemory::create() says, unless the region is registered elsewhere already
    /// EBUSY the region is registered with this container
    /// ENOMEM an injected failure
    Result<std::int64_t> register_memory(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// EPERM the container has no address space yet
    /// and what take_without_flags() says
    /// EINVAL vaddr or size is not a multiple of the page
    /// ENOENT there is no such region
    /// ENOENT the region is not registered with this container
    /// EBUSY (with a kernel bug fixed) entries refer to the region
    Result<std::int64_t> unregister_memory(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// What work_for() says
    /// ENXIO the container has no group
    /// and what take_without_flags() says
    /// and what create_default_window() and create_window() say
    /// EFAULT the start address cannot be written back; the window stays
    Result<std::int64_t> create(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// What work_for() says
    /// ENXIO the container has no group
    /// and what take_without_flags() says
    /// EINVAL the address is in no window
    Result<std::int64_t> remove(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// The first result of a group that is not 0; 0 without a group.
    /// and what vfio::eeh_pe_op() says
    Result<std::int64_t> eeh_pe_op(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);

  private:
    using Table = Ref<spapr::HardwareTable>;
    struct Pages {
        std::uint64_t first;
        std::uint64_t count;
    };

    // Takes the task's address space as the container's if it has none. (tce_iommu_mm_set)
    // EPERM the container has another one
    Result<> work_for(fs::Task& task) REQUIRES(mutex_);
    spapr::TableGroup& first_group() REQUIRES(mutex_) {
        return *spapr::table_group_of(*groups_.front());
    }

    // tce_windows.cpp
    std::optional<unsigned> window_of(std::uint64_t iova) const REQUIRES(mutex_);
    // Does nothing unless the window is pending.
    // ENODEV the container has no group
    // and what create_window() says
    Result<> create_default_window(fs::Task& task) REQUIRES(mutex_);
    // ENOSPC the container has all its windows
    // EINVAL the platform has no such page size
    // EINVAL the platform has no table of such a size
    // ENOMEM the table's charge would pass RLIMIT_MEMLOCK
    // and what TableGroup::create_table() and set_window() say
    Result<std::uint64_t> create_window(fs::Task& task, unsigned page_shift,
                                        std::uint64_t window_size, unsigned levels)
        REQUIRES(mutex_);
    Result<> remove_window(std::uint64_t start, Table& gone) REQUIRES(mutex_);
    // Guests' tables that are linked to it find no entries any more.
    void retire(spapr::HardwareTable& table) REQUIRES(mutex_);
    void release(Table& table) REQUIRES(mutex_);

    // tce_map.cpp
    // Returns 1, which is what the kernel's check returns.
    // EINVAL (with that kernel bug fixed)
    Result<std::int64_t> check_failed(std::uint64_t iova, std::uint64_t pages) const;
    // Makes entries. When one fails, all of them are cleared.
    // Version 1:
    // what mm::AddressSpace::pin() says
    // EPERM the window's page is larger than the kernel's
    // Version 2:
    // EINVAL the memory is not registered, or is in smaller pieces than the window's page
    // ENOMEM no memory for the user address
    // Both:
    // and what HardwareTable::exchange() says
    Result<> build(fs::Task& task, spapr::HardwareTable& table, Pages pages, std::uint64_t vaddr,
                   std::uint64_t rights) REQUIRES(mutex_);
    // False: no entry was made and build() ends without an error.
    Result<bool> build_one(fs::Task& task, spapr::HardwareTable& table, std::uint64_t page,
                           std::uint64_t vaddr, std::uint64_t rights) REQUIRES(mutex_);
    Result<bool> build_registered(fs::Task& task, spapr::HardwareTable& table, std::uint64_t page,
                                  std::uint64_t vaddr, std::uint64_t rights) REQUIRES(mutex_);
    void clear(spapr::HardwareTable& table, Pages pages) REQUIRES(mutex_);
    void clear_entries(spapr::HardwareTable& table, std::uint64_t first, std::uint64_t end)
        REQUIRES(mutex_);
    // Unpins the page of an entry of version 1; drops the count of one of version 2.
    void unuse_page(spapr::Tce old) REQUIRES(mutex_);
    void unuse_page_v2(spapr::HardwareTable& table, std::uint64_t page, spapr::Tce old,
                       const spapr::RegisteredMemory::Reader& registered) REQUIRES(mutex_);
    void unregister_all() REQUIRES(mutex_);

    fs::Kernel& kernel_;
    const TceDriver& driver_;
    const bool v2_;

    Mutex mutex_{lock_order::kBackend};
    // The address space whose memory it maps. Set by work_for().
    Ref<mm::AddressSpace> mm_ GUARDED_BY(mutex_){"tce_container.mm"};
    bool enabled_ GUARDED_BY(mutex_) = false;
    bool default_window_pending_ GUARDED_BY(mutex_) = false;
    std::uint64_t locked_pages_ GUARDED_BY(mutex_) = 0;
    std::array<Table, spapr::kMostWindows> tables_ GUARDED_BY(mutex_);
    std::vector<iommu::Group*> groups_ GUARDED_BY(mutex_);  // the newest first
    std::vector<Ref<spapr::MemoryRegion>> regions_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::vfio
