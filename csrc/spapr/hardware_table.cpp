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

Refusal HardwareTable::beyond(std::uint64_t page) const {
    return refuse(shape_.beyond, "page {:x} is beyond the table's [{:x}, {:x}), or that is gone",
                  kExchange, page, shape_.offset, shape_.offset + shape_.reach)
        .error();
}

Result<Tce> HardwareTable::exchange(std::uint64_t page, Tce tce, FaultPoints& faults) {
    if (const auto old = exchange_there(page, tce)) {
        return *old;
    }
    if (refuses(page)) {
        return std::unexpected(beyond(page));
    }
    if (tce.entry() == 0) {
        return Tce{};
    }
    return Tce::of(TRY(tces_.make_cell(place(page), faults)).exchange(entry_of(tce)));
}

Result<> HardwareTable::put_if_free(std::uint64_t page, Tce tce, FaultPoints& faults) {
    if (refuses(page)) {
        return std::unexpected(beyond(page));
    }
    const Tree::Cell cell = TRY(tces_.make_cell(place(page), faults));
    std::uint64_t old = cell.load();
    do {
        if (Tce::of(old).rights != 0) {
            return refuse(EBUSY, "page {:x} leads somewhere already", kExchange, page);
        }
    } while (!cell.compare_exchange(old, entry_of(tce)));
    return {};
}

Tce HardwareTable::get(std::uint64_t page) const {
    const auto cell = reaches(page) ? tces_.cell(place(page)) : Tree::Cell(nullptr);
    return cell ? Tce::of(cell.load()) : Tce{};
}

std::optional<iommu::Translation> HardwareTable::translate(std::uint64_t iova) const {
    if (!holds(iova >> shape_.page_shift)) {
        return std::nullopt;
    }
    auto found = tces_.translate(iova - start());
    if (found) {
        found->leaf = {found->leaf.start + start(), found->leaf.last + start()};
    }
    return found;
}

std::uint64_t HardwareTable::pages_without_table(std::uint64_t page) const {
    return reaches(page) ? tces_.bytes_without_table(place(page)) >> shape_.page_shift : 0;
}

HardwareTable::Tree::Cell HardwareTable::make_user_address(std::uint64_t page,
                                                           FaultPoints& faults) {
    if (const auto there = user_address(page); there || !reaches(page)) {
        return there;
    }
    const auto made = users_.make_cell(place(page), faults);
    return made ? *made : Tree::Cell(nullptr);
}

}  // namespace kvmiommu::spapr
