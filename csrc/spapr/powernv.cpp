// SPDX-License-Identifier: MIT

#include "spapr/powernv.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace kvmiommu::spapr {

namespace {

constexpr Source kAlloc{
    "arch/powerpc/platforms/powernv/pci-ioda-tce.c: "
    "pnv_pci_ioda2_table_alloc_pages"};

constexpr unsigned kEntryShift = 3;
constexpr unsigned kMostLevels = 5;  // POWERNV_IOMMU_MAX_LEVELS
constexpr unsigned kMostShift = 24;  // of a block of the kernel's page allocator
constexpr unsigned kAddressBits = 55;
// Address bit 59 selects the second window.
constexpr std::uint64_t kSecondWindow = std::uint64_t{1} << 59;

bool possible(std::uint64_t window_size, unsigned levels) {
    return levels != 0 && levels <= kMostLevels && is_power_of_two(window_size);
}

// The bytes of a table, as powers of two.
struct TableShifts {
    std::uint32_t whole;  // without levels
    std::uint32_t level;  // of each level
};

// For a window smaller than its page the difference wraps, as in the kernel: up to three bits less
// still make a table, with fewer the shift is too large.
TableShifts table_shifts(std::uint64_t page_size, unsigned page_shift, std::uint64_t window_size,
                         unsigned levels) {
    const auto page = static_cast<std::uint32_t>(std::countr_zero(page_size));
    const auto window = static_cast<std::uint32_t>(std::countr_zero(window_size));
    const std::uint32_t entries = window - page_shift;
    return {entries + kEntryShift, std::max((entries + levels - 1) / levels + kEntryShift, page)};
}

}  // namespace

std::uint64_t PowernvTableGroup::table_size(unsigned page_shift, std::uint64_t window_size,
                                            unsigned levels) const {
    if (!possible(window_size, levels)) {
        return 0;
    }
    const TableShifts shifts = table_shifts(page_size_, page_shift, window_size, levels);
    if (shifts.whole >= 64 || shifts.level >= 64) {
        return 0;
    }
    const std::uint64_t level = std::uint64_t{1} << shifts.level;
    // From the lowest level up, as if each were complete.
    std::uint64_t table = std::max(std::uint64_t{0x1000}, std::uint64_t{1} << shifts.whole);
    std::uint64_t bytes = 0;
    for (unsigned left = levels; left != 0; --left) {
        bytes += align_up(table, level);
        table = std::max((table / level) << kEntryShift, level);
    }
    return 2 * bytes;
}

Result<Ref<HardwareTable>> PowernvTableGroup::create_table(unsigned number, unsigned page_shift,
                                                           std::uint64_t window_size,
                                                           unsigned levels, FaultPoints& faults) {
    if (!possible(window_size, levels)) {
        return refuse(EINVAL, "a window of {:x} bytes with {} levels", kAlloc, window_size, levels);
    }
    const TableShifts shifts = table_shifts(page_size_, page_shift, window_size, levels);
    const std::uint64_t bits = std::uint64_t{shifts.level - kEntryShift} * levels + page_shift;
    if (bits >= kAddressBits) {
        return refuse(EINVAL, "{} levels above pages of {} bits reach {} bits, {} are too many",
                      kAlloc, levels, page_shift, bits, kAddressBits);
    }
    if (shifts.level > kMostShift) {
        return refuse(ENOMEM, "a level of 2^{} bytes is more than the kernel allocates at once",
                      kAlloc, shifts.level);
    }
    const auto page = static_cast<std::uint32_t>(std::countr_zero(page_size_));
    const std::uint64_t start = number == 0 ? windows().dma32_start : kSecondWindow;
    const unsigned index_bits = shifts.level - kEntryShift;
    return HardwareTable::create(
        census_, memory_,
        {.page_shift = page_shift,
         .offset = start >> page_shift,
         .size = (std::uint64_t{1} << std::max(shifts.whole, page)) >> kEntryShift,
         .allocated = table_size(page_shift, window_size, levels),
         .levels = levels,
         .tree_levels = levels,
         .index_bits = index_bits,
         .reach = std::uint64_t{1} << (index_bits * levels),
         .write_implies_read = true,
         .beyond = EINVAL},
        faults);
}

Result<> PowernvTableGroup::set_window(unsigned number, const Ref<HardwareTable>& table) {
    Ref<HardwareTable> before = table;
    const Lock lock(mutex_);
    std::swap(tables_[number], before);
    return {};
}

void PowernvTableGroup::unset_window(unsigned number) {
    Ref<HardwareTable> gone;
    const Lock lock(mutex_);
    std::swap(tables_[number], gone);
}

}  // namespace kvmiommu::spapr
