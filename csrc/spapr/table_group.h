// SPDX-License-Identifier: MIT
//
// The windows of one partitionable endpoint, which is an IOMMU group (arch/powerpc/include/asm/
// iommu.h: struct iommu_table_group). The virtual methods are those of iommu_table_group_ops.

#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/base.h"
#include "iommu/iommu.h"
#include "spapr/hardware_table.h"
#include "spapr/lock_order.h"

namespace kvmiommu::spapr {

/// IOMMU_TABLE_GROUP_MAX_TABLES.
inline constexpr unsigned kMostWindows = 2;

/// Properties of an endpoint, from the firmware.
struct Windows {
    std::uint64_t dma32_start = 0;
    std::uint64_t dma32_size = 0;  // bytes of the default window
    std::uint64_t page_sizes = 0;  // of any window, a bit each
    unsigned most = kMostWindows;  // max_dynamic_windows_supported
    unsigned levels = 1;           // of a table, at most
};

class TableGroup : public iommu::GroupData {
  public:
    const Windows& windows() const { return windows_; }
    /// The table of window `number`, or null.
    Ref<HardwareTable> table(unsigned number) const EXCLUDES(mutex_);

    /// The bytes that are charged for a table; 0: there can be no such table. (get_table_size)
    virtual std::uint64_t table_size(unsigned page_shift, std::uint64_t window_size,
                                     unsigned levels) const = 0;
    /// A table for window `number`. The errno depends on the platform. (create_table)
    virtual Result<Ref<HardwareTable>> create_table(unsigned number, unsigned page_shift,
                                                    std::uint64_t window_size, unsigned levels,
                                                    FaultPoints& faults) EXCLUDES(mutex_) = 0;
    /// Has the bridge walk a table of create_table(), of this group or of another. (set_window)
    virtual Result<> set_window(unsigned number, const Ref<HardwareTable>& table)
        EXCLUDES(mutex_) = 0;
    /// Has it walk none. The kernel ignores failures (tce_iommu_remove_window). (unset_window)
    virtual void unset_window(unsigned number) EXCLUDES(mutex_) = 0;
    /// Takes the endpoint's DMA from the kernel, or returns it. Called for each device; the first
    /// call counts. (take_ownership, release_ownership)
    virtual void take_ownership() EXCLUDES(mutex_) = 0;
    virtual void release_ownership() EXCLUDES(mutex_) = 0;
    /// Are both groups of one platform, so that they can share tables?
    virtual bool like(const TableGroup& other) const = 0;

    /// The translation that a device meets; none: a fault.
    std::optional<iommu::Translation> translate(std::uint64_t iova) const EXCLUDES(mutex_);

  protected:
    TableGroup(Census& census, mm::PhysicalMemory& memory, std::uint64_t page_size,
               const Windows& windows)
        : census_(census), memory_(memory), page_size_(page_size), windows_(windows) {}

    Census& census_;
    mm::PhysicalMemory& memory_;
    const std::uint64_t page_size_;  // of the kernel

    mutable Mutex mutex_{lock_order::kTableGroup};
    std::array<Ref<HardwareTable>, kMostWindows> tables_ GUARDED_BY(mutex_);

  private:
    const Windows windows_;
};

/// The domain of a group whose DMA has an owner: devices reach what the windows map.
class WindowsDomain final : public iommu::Domain {
  public:
    WindowsDomain(const iommu::Ops& ops, TableGroup& group)
        : Domain(ops, iommu::DomainType::platform, 0, {0, ~std::uint64_t{0}}), group_(group) {}

    Result<> attach_device(iommu::Device&, FaultPoints&) override {
        group_.take_ownership();
        return {};
    }
    iommu::Mapped map_pages(std::uint64_t, mm::PhysAddr, std::uint64_t, std::uint64_t,
                            std::uint32_t, FaultPoints&) override {
        return {};
    }
    std::uint64_t unmap_pages(std::uint64_t, std::uint64_t, std::uint64_t, FaultPoints&) override {
        return 0;
    }
    mm::PhysAddr iova_to_phys(std::uint64_t iova) const override {
        const auto found = group_.translate(iova);
        return found ? found->address : 0;
    }
    std::optional<iommu::Translation> translate(std::uint64_t iova) const override {
        return group_.translate(iova);
    }

  private:
    TableGroup& group_;
};

/// The domain of a group without an owner. What the kernel maps for its drivers is not modelled: an
/// iova is a physical address.
class KernelDomain final : public iommu::Domain {
  public:
    KernelDomain(const iommu::Ops& ops, TableGroup& group)
        : Domain(ops, iommu::DomainType::identity, 0, {0, ~std::uint64_t{0}}), group_(group) {}

    Result<> attach_device(iommu::Device&, FaultPoints&) override {
        group_.release_ownership();
        return {};
    }
    iommu::Mapped map_pages(std::uint64_t, mm::PhysAddr, std::uint64_t, std::uint64_t,
                            std::uint32_t, FaultPoints&) override {
        return {};
    }
    std::uint64_t unmap_pages(std::uint64_t, std::uint64_t, std::uint64_t, FaultPoints&) override {
        return 0;
    }
    mm::PhysAddr iova_to_phys(std::uint64_t iova) const override { return iova; }

  private:
    TableGroup& group_;
};

}  // namespace kvmiommu::spapr
