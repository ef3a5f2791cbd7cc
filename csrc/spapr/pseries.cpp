// SPDX-License-Identifier: MIT

#include "spapr/pseries.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/undo.h"

namespace kvmiommu::spapr {

namespace {

constexpr Source kCreate{"arch/powerpc/platforms/pseries/iommu.c: spapr_tce_create_table"};
constexpr Source kSet{"arch/powerpc/platforms/pseries/iommu.c: spapr_tce_set_window"};

constexpr unsigned k4K = 12;
constexpr std::uint64_t kDynamicWindow = std::uint64_t{1} << 59;
// The limit of the hypervisor.
constexpr std::uint64_t kMostPages = std::uint64_t{1} << 31;
// Of the trees that stand for the hypervisor's table and the kernel's array.
constexpr unsigned kIndexBits = 9;

}  // namespace

bool PseriesTableGroup::is_default(unsigned page_shift, std::uint64_t window_size) const {
    return page_shift == k4K && window_size <= windows().dma32_size;
}

std::uint64_t PseriesTableGroup::table_size(unsigned page_shift, std::uint64_t window_size,
                                            unsigned levels) const {
    return levels > 1 ? 0xffffffff : window_size >> (page_shift - 3);
}

Result<Ref<HardwareTable>> PseriesTableGroup::make_table(unsigned page_shift, std::uint64_t start,
                                                         std::uint64_t window_size,
                                                         std::uint64_t hypervisors,
                                                         FaultPoints& faults) {
    const auto bits = static_cast<unsigned>(std::bit_width((hypervisors >> page_shift) - 1));
    return HardwareTable::create(
        census_, memory_,
        {.page_shift = page_shift,
         .offset = start >> page_shift,
         .size = window_size >> page_shift,
         .allocated = table_size(page_shift, window_size, 1),
         .levels = 1,
         .tree_levels = std::max((bits + kIndexBits - 1) / kIndexBits, 1U),
         .index_bits = kIndexBits,
         .reach = hypervisors >> page_shift,
         .write_implies_read = false,
         .beyond = -uapi::H_PARAMETER},  // the return code of a hypercall, taken for an errno
        faults);
}

// ibm,query-pe-dma-window and ibm,create-pe-dma-window.
Result<> PseriesTableGroup::create_dynamic_window(unsigned page_shift, std::uint64_t window_size) {
    const std::uint64_t pages = window_size >> page_shift;
    if (pages > kMostPages) {
        return refuse(EINVAL, "the hypervisor has {:x} pages for a window, not {:x}", kCreate,
                      kMostPages, pages);
    }
    if (dynamic_window_ || pages == 0) {
        failed_ = true;
        return refuse(ENODEV,
                      "the hypervisor gives no window: it has one of {:x} pages already: {}",
                      kCreate, pages, dynamic_window_);
    }
    dynamic_window_ = true;
    return {};
}

Result<Ref<HardwareTable>> PseriesTableGroup::create_table(unsigned number, unsigned page_shift,
                                                           std::uint64_t window_size,
                                                           unsigned levels, FaultPoints& faults) {
    if (!is_power_of_two(window_size) || levels > 1) {
        return refuse(EINVAL, "a window of {:x} bytes with {} levels", kCreate, window_size,
                      levels);
    }
    const Lock lock(mutex_);
    if (failed_) {
        return refuse(ENODEV, "the hypervisor refused a window of this endpoint before", kCreate);
    }
    Ref<HardwareTable> table;
    if (number == 0 && is_default(page_shift, window_size) && !default_window_) {
        if (dynamic_window_) {
            return refuse(EPERM, "making the default window would reset the dynamic one", kCreate);
        }
        default_window_ = true;
        Undo forget([this] {
            mutex_.assert_held();
            default_window_ = false;
        });
        table =
            TRY(make_table(k4K, windows().dma32_start, window_size, windows().dma32_size, faults));
        forget.dismiss();
    } else {
        if (number == 0 && dynamic_window_ && !is_default(page_shift, window_size)) {
            return refuse(EPERM, "there is a dynamic window", kCreate);
        }
        TRY(create_dynamic_window(page_shift, window_size));
        Undo remove([this] {
            mutex_.assert_held();
            dynamic_window_ = false;
        });
        table = TRY(make_table(page_shift, kDynamicWindow, window_size, window_size, faults));
        remove.dismiss();
    }
    tables_[number] = table;
    return table;
}

Result<> PseriesTableGroup::set_window(unsigned number, const Ref<HardwareTable>& table) {
    const Lock lock(mutex_);
    if (tables_[number] != table) {
        return refuse(EPERM, "window {} is not the one that was made for this group", kSet, number);
    }
    return {};
}

void PseriesTableGroup::unset_window(unsigned number) {
    Ref<HardwareTable> gone;
    const Lock lock(mutex_);
    if (!tables_[number]) {
        return;
    }
    const HardwareTable& table = *tables_[number];
    bool& property = number == 0 && is_default(table.page_shift(), table.bytes()) ? default_window_
                                                                                  : dynamic_window_;
    if (!property) {
        failed_ = true;
        return;
    }
    // The hypervisor keeps the default window.
    if (&property == &dynamic_window_) {
        tables_[number]->retire();
    }
    property = false;
    std::swap(tables_[number], gone);
}

void PseriesTableGroup::take_ownership() {
    const Lock lock(mutex_);
    // The window that the kernel has for itself is not modelled.
    default_window_ = false;
}

void PseriesTableGroup::release_ownership() {
    const Lock lock(mutex_);
    default_window_ = true;
}

}  // namespace kvmiommu::spapr
