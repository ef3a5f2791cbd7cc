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

    /// The TCEs, and as much again for the user addresses. 0: no power of two, or more levels than
    /// there can be.
    std::uint64_t table_size(unsigned page_shift, std::uint64_t window_size,
                             unsigned levels) const override;
    /// EINVAL table_size() is 0, or iovas beyond what a table can translate
    /// ENOMEM, also if a level is more than the kernel allocates at once
    Result<Ref<HardwareTable>> create_table(unsigned number, unsigned page_shift,
                                            std::uint64_t window_size, unsigned levels,
                                            FaultPoints& faults) override EXCLUDES(mutex_);
    Result<> set_window(unsigned number, const Ref<HardwareTable>& table) override EXCLUDES(mutex_);
    void unset_window(unsigned number) override EXCLUDES(mutex_);
    // The window that the kernel has for itself is not modelled.
    void take_ownership() override {}
    void release_ownership() override {}
    bool like(const TableGroup& other) const override {
        return dynamic_cast<const PowernvTableGroup*>(&other) != nullptr;
    }
};

}  // namespace kvmiommu::spapr
