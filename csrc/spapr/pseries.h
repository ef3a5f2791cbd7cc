// SPDX-License-Identifier: MIT
//
// POWER as the guest of a hypervisor, which keeps the tables: the kernel asks it for windows by
// RTAS calls and for TCEs by hypercalls (arch/powerpc/platforms/pseries/iommu.c). The hypervisor
// modelled is QEMU's: the default window, and one dynamic window at bit 59.

#pragma once

#include <cstdint>

#include "spapr/table_group.h"

namespace kvmiommu::spapr {

class PseriesTableGroup final : public TableGroup {
  public:
    PseriesTableGroup(Census& census, mm::PhysicalMemory& memory, std::uint64_t page_size,
                      const Windows& windows)
        : TableGroup(census, memory, page_size, windows) {}

    /// The TCEs alone. With levels, of which there are none, 2^32 - 1: that much is charged before
    /// the table is refused.
    std::uint64_t table_size(unsigned page_shift, std::uint64_t window_size,
                             unsigned levels) const override;
    /// EINVAL no power of two, levels, or more than the hypervisor has; EPERM the dynamic window is
    /// in the way of the default one; ENODEV the hypervisor refused, now or ever before.
    Result<Ref<HardwareTable>> create_table(unsigned number, unsigned page_shift,
                                            std::uint64_t window_size, unsigned levels,
                                            FaultPoints& faults) override EXCLUDES(mutex_);
    /// EPERM a table that another group made.
    Result<> set_window(unsigned number, const Ref<HardwareTable>& table) override EXCLUDES(mutex_);
    void unset_window(unsigned number) override EXCLUDES(mutex_);
    void take_ownership() override EXCLUDES(mutex_);
    void release_ownership() override EXCLUDES(mutex_);
    bool like(const TableGroup& other) const override {
        return dynamic_cast<const PseriesTableGroup*>(&other) != nullptr;
    }

  private:
    bool is_default(unsigned page_shift, std::uint64_t window_size) const;
    Result<Ref<HardwareTable>> make_table(unsigned page_shift, std::uint64_t start,
                                          std::uint64_t window_size, std::uint64_t hypervisors,
                                          FaultPoints& faults);
    Result<> create_dynamic_window(unsigned page_shift, std::uint64_t window_size) REQUIRES(mutex_);

    // Properties of the device-tree node: which windows the kernel believes in. The hypervisor
    // keeps the default window whatever the kernel forgets.
    bool default_window_ GUARDED_BY(mutex_) = true;   // "ibm,dma-window"
    bool dynamic_window_ GUARDED_BY(mutex_) = false;  // "linux,dma64-ddr-window-info"
    bool failed_ GUARDED_BY(mutex_) = false;          // on failed_ddw_pdn_list, for good
};

}  // namespace kvmiommu::spapr
