// SPDX-License-Identifier: MIT

#include "spapr/hardware_table.h"

#include <utility>

namespace kvmiommu::spapr {

namespace {
constexpr Source kExchange{"arch/powerpc/kernel/iommu.c: iommu_tce_xchg_no_kill"};
}

Result<Ref<HardwareTable>> HardwareTable::create(Census& census, mm::PhysicalMemory& memory,
                                                 const Shape& shape, FaultPoints& faults) {
    const iommu::pgtable::Shape<iommu::pgtable::Tce> tree{
        .levels = shape.tree_levels,
        .most_levels = shape.tree_levels,
        .geometry = {shape.page_shift, shape.index_bits, low_mask(shape.index_bits)}};
    Tree tces = TRY(Tree::create(memory, tree, faults));
    Tree users = TRY(Tree::create(memory, tree, faults));
    return make<HardwareTable>(census, shape, std::move(tces), std::move(users));
}

Result<Tce> HardwareTable::exchange(std::uint64_t page, Tce tce, FaultPoints& faults) {
    if (!reaches(page)) {
        return refuse(shape_.beyond, "page {:x} is beyond the table's [{:x}, {:x})", kExchange,
                      page, shape_.offset, shape_.offset + shape_.reach);
    }
    if (shape_.write_implies_read && (tce.rights & uapi::TCE_PCI_WRITE) != 0) {
        tce.rights |= uapi::TCE_PCI_READ;
    }
    return Tce::of(TRY(tces_.exchange_entry(place(page), tce.entry(), faults)));
}

Tce HardwareTable::get(std::uint64_t page) const {
    return reaches(page) ? Tce::of(tces_.entry_at(place(page)).value_or(0)) : Tce{};
}

std::optional<iommu::Translation> HardwareTable::translate(std::uint64_t iova) const {
    const std::uint64_t page = iova >> shape_.page_shift;
    return holds(page) ? tces_.translate(iova - start()) : std::nullopt;
}

std::uint64_t HardwareTable::pages_without_table(std::uint64_t page) const {
    return reaches(page) ? tces_.bytes_without_table(place(page)) >> shape_.page_shift : 0;
}

std::optional<std::uint64_t> HardwareTable::user_address(std::uint64_t page) const {
    return reaches(page) ? users_.entry_at(place(page)) : std::nullopt;
}

bool HardwareTable::make_room(std::uint64_t page, FaultPoints& faults) {
    return reaches(page) && users_.make_room(place(page), faults);
}

void HardwareTable::set_user_address(std::uint64_t page, std::uint64_t address) {
    FaultPoints none;
    [[maybe_unused]] const auto set = users_.exchange_entry(place(page), address, none);
}

}  // namespace kvmiommu::spapr
