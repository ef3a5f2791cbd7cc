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
    Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) override;

  private:
    fs::Kernel& kernel_;
    const bool eeh_;
};

class TceContainer final : public IommuBackend {
  public:
    TceContainer(fs::Kernel& kernel, const TceDriver& driver, bool v2);
    ~TceContainer() override;

    /// EPERM: another address space than the one that it works for.
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override EXCLUDES(mutex_);
    std::int64_t check_extension(std::uint64_t extension) override {
        return driver_.check_extension(extension);
    }
    /// EINVAL an emulated device; ENODEV a group without windows; EBUSY a second group of version
    /// 1, or one that is in already; EPERM of another platform, or it cannot share the windows.
    Result<> attach_group(fs::Task& task, iommu::Group& group, GroupType type) override
        EXCLUDES(mutex_);
    void detach_group(iommu::Group& group) override EXCLUDES(mutex_);
    /// The table of the default window, which is made if it was not needed yet. ENODEV in version
    /// 2, whose entries are not pages that are held one by one; as work_for(), create_window().
    Result<Ref<spapr::HardwareTable>> default_table(fs::Task& task) EXCLUDES(mutex_);

    // --- requests ---

    Result<std::int64_t> get_info(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> enable(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> disable(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> map_dma(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> unmap_dma(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> register_memory(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> unregister_memory(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> create(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> remove(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    Result<std::int64_t> eeh_pe_op(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);

  private:
    using Table = Ref<spapr::HardwareTable>;
    struct Pages {
        std::uint64_t first;
        std::uint64_t count;
    };

    Result<> work_for(fs::Task& task) REQUIRES(mutex_);
    spapr::TableGroup& first_group() REQUIRES(mutex_) {
        return *spapr::table_group_of(*groups_.front());
    }

    // tce_windows.cpp
    std::optional<unsigned> window_of(std::uint64_t iova) const REQUIRES(mutex_);
    Result<> create_default_window(fs::Task& task) REQUIRES(mutex_);
    Result<std::uint64_t> create_window(fs::Task& task, unsigned page_shift,
                                        std::uint64_t window_size, unsigned levels)
        REQUIRES(mutex_);
    Result<> remove_window(std::uint64_t start, Table& gone) REQUIRES(mutex_);
    // A guest's table that has it behind it finds no entries any more.
    void retire(spapr::HardwareTable& table) REQUIRES(mutex_);
    void release(Table& table) REQUIRES(mutex_);

    // tce_map.cpp
    Result<std::int64_t> check_failed(std::uint64_t iova, std::uint64_t pages) const;
    Result<> build(fs::Task& task, spapr::HardwareTable& table, Pages pages, std::uint64_t vaddr,
                   std::uint64_t rights) REQUIRES(mutex_);
    Result<bool> build_one(fs::Task& task, spapr::HardwareTable& table, std::uint64_t page,
                           std::uint64_t vaddr, std::uint64_t rights) REQUIRES(mutex_);
    Result<bool> build_registered(fs::Task& task, spapr::HardwareTable& table, std::uint64_t page,
                                  std::uint64_t vaddr, std::uint64_t rights) REQUIRES(mutex_);
    void clear(spapr::HardwareTable& table, Pages pages) REQUIRES(mutex_);
    void clear_entries(spapr::HardwareTable& table, std::uint64_t first, std::uint64_t end)
        REQUIRES(mutex_);
    // The page of an entry of version 1, or the count of one of version 2.
    void let_go(spapr::Tce old) REQUIRES(mutex_);
    void let_go_registered(spapr::HardwareTable& table, std::uint64_t page, spapr::Tce old,
                           const spapr::RegisteredMemory::Reader& registered) REQUIRES(mutex_);
    void unregister_all() REQUIRES(mutex_);

    fs::Kernel& kernel_;
    const TceDriver& driver_;
    const bool v2_;

    Mutex mutex_{lock_order::kBackend};
    // Whose memory it maps: from the first call on that needs to know.
    Ref<mm::AddressSpace> mm_ GUARDED_BY(mutex_){"tce_container.mm"};
    bool enabled_ GUARDED_BY(mutex_) = false;
    bool default_window_pending_ GUARDED_BY(mutex_) = false;
    std::uint64_t locked_pages_ GUARDED_BY(mutex_) = 0;
    std::array<Table, spapr::kMostWindows> tables_ GUARDED_BY(mutex_);
    std::vector<iommu::Group*> groups_ GUARDED_BY(mutex_);  // the newest first
    std::vector<Ref<spapr::MemoryRegion>> regions_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::vfio
