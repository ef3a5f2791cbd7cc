// SPDX-License-Identifier: MIT
//
// POWER as the guest of a hypervisor, which has the tables: the kernel creates windows by RTAS
// calls and maps by hypercalls (arch/powerpc/platforms/pseries/iommu.c). The hypervisor is QEMU: a
// default window, and one dynamic window at bit 59.

#pragma once

#include <cstdint>

#include "spapr/table_group.h"

namespace kvmiommu::spapr {

class PseriesTableGroup final : public TableGroup {
  public:
    PseriesTableGroup(Census& census, mm::PhysicalMemory& memory, std::uint64_t page_size,
                      const Windows& windows)
        : TableGroup(census, memory, page_size, windows) {}

    /// The TCEs alone. With more than one level 2^32 - 1, which is charged before create_table()
    /// refuses it.
    std::uint64_t table_size(unsigned page_shift, std::uint64_t window_size,
                             unsigned levels) const override;
    /// EINVAL no power of two, or more than one level
    /// ENODEV the hypervisor refused a window of the endpoint before
    /// EPERM there is a dynamic window, and this is to be the first one
    /// EINVAL more pages than the hypervisor has
    /// ENODEV the hypervisor refuses
    /// ENOMEM
    Result<Ref<HardwareTable>> create_table(unsigned number, unsigned page_shift,
                                            std::uint64_t window_size, unsigned levels,
                                            FaultPoints& faults) override EXCLUDES(mutex_);
    /// EPERM a table of another group
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

    // The windows that the kernel knows of, by properties of the device-tree node. The hypervisor
    // always has the default window.
    bool default_window_ GUARDED_BY(mutex_) = true;   // "ibm,dma-window"
    bool dynamic_window_ GUARDED_BY(mutex_) = false;  // "linux,dma64-ddr-window-info"
    bool failed_ GUARDED_BY(mutex_) = false;          // on failed_ddw_pdn_list, for good
};

}  // namespace kvmiommu::spapr
