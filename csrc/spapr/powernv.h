// SPDX-License-Identifier: MIT
//
// POWER without a hypervisor above it: the kernel makes the tables, and the host bridge walks them
// (arch/powerpc/platforms/powernv/pci-ioda.c, pci-ioda-tce.c: IODA2).

#pragma once

#include <cstdint>

#include "spapr/table_group.h"

namespace kvmiommu::spapr {

class PowernvTableGroup final : public TableGroup {
  public:
    PowernvTableGroup(Census& census, mm::PhysicalMemory& memory, std::uint64_t page_size,
                      const Windows& windows)
        : TableGroup(census, memory, page_size, windows) {}

    /// The TCEs and as much again for the user addresses. 0: no power of two, or levels that the
    /// bridge has not.
    std::uint64_t table_size(unsigned page_shift, std::uint64_t window_size,
                             unsigned levels) const override;
    /// EINVAL as above, or too much for one table to reach; ENOMEM, also when one level would be
    /// more than the kernel can allocate at once.
    Result<Ref<HardwareTable>> create_table(unsigned number, unsigned page_shift,
                                            std::uint64_t window_size, unsigned levels,
                                            FaultPoints& faults) override EXCLUDES(mutex_);
    Result<> set_window(unsigned number, const Ref<HardwareTable>& table) override EXCLUDES(mutex_);
    void unset_window(unsigned number) override EXCLUDES(mutex_);
    // The kernel's own window, which nobody else sees, has no table here.
    void take_ownership() override {}
    void release_ownership() override {}
    bool like(const TableGroup& other) const override {
        return dynamic_cast<const PowernvTableGroup*>(&other) != nullptr;
    }
};

}  // namespace kvmiommu::spapr
