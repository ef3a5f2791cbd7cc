// SPDX-License-Identifier: MIT

#include "spapr/proposals/hypercalls_2013.h"

#include <array>
#include <span>

#include "spapr/proposals/link_2013.h"
#include "uapi/papr.h"

namespace kvmiommu::spapr::y2013 {

namespace {

using Stage = Resume::Stage;

constexpr unsigned kPageShift = 12;  // IOMMU_PAGE_SHIFT

// In real mode, then in virtual mode.
template <class Try>
HypercallOutcome in_both_modes(const Machine& machine, Try&& attempt) {
    Resume resume(machine.mm);
    if (machine.real_mode) {
        const std::int64_t r3 = attempt(Mode::real, resume);
        if (r3 != uapi::H_TOO_HARD) {
            return {r3, HypercallLevel::real_mode};
        }
    }
    const std::int64_t r3 = attempt(Mode::virtual_mode, resume);
    return {r3, r3 == uapi::H_TOO_HARD ? HypercallLevel::user : HypercallLevel::virtual_mode};
}

// --- tables of KVM's own: entries are stored as the guest wrote them ---

std::uint64_t window_size(const GuestTable& table) {
    return table.window().size << table.page_shift();
}

bool before_end(std::uint64_t window_size, std::uint64_t ioba, std::uint64_t pages) {
    return ioba <= window_size && pages <= (window_size - ioba) >> kPageShift;
}

std::int64_t put_own(GuestTable& table, std::uint64_t ioba, std::span<const std::uint64_t> values) {
    for (const std::uint64_t value : values) {
        if (!is_entry(value)) {
            return uapi::H_PARAMETER;
        }
    }
    for (std::uint64_t page = ioba >> kPageShift; const std::uint64_t value : values) {
        table.put(page++, value);
    }
    return uapi::H_SUCCESS;
}

}  // namespace

HypercallOutcome h_put_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                           std::uint64_t value) {
    return in_both_modes(machine, [&](Mode mode, Resume& resume) -> std::int64_t {
        if (const LinkedTable* const linked = machine.tables.find_linked(liobn)) {
            return Link(machine, *linked, mode, resume).put(ioba, value);
        }
        GuestTable* const own = machine.tables.find(liobn);
        if (own == nullptr) {
            return uapi::H_TOO_HARD;
        }
        return ioba < window_size(*own) ? put_own(*own, ioba, {&value, 1}) : uapi::H_PARAMETER;
    });
}

HypercallOutcome h_put_tce_indirect(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                                    std::uint64_t list, std::uint64_t pages) {
    return in_both_modes(machine, [&](Mode mode, Resume& resume) -> std::int64_t {
        const LinkedTable* const linked = machine.tables.find_linked(liobn);
        GuestTable* const own = machine.tables.find(liobn);
        if (linked == nullptr && own == nullptr) {
            return uapi::H_TOO_HARD;
        }
        const std::uint64_t size = linked != nullptr ? linked->window_size : window_size(*own);
        if (pages > kMostEntries || !is_aligned(list, kListAlignment) ||
            !before_end(size, ioba, pages)) {
            return uapi::H_PARAMETER;
        }
        if (resume.stage == Stage::put_list) {
            return uapi::H_SUCCESS;
        }
        std::array<std::uint64_t, kMostEntries> values;
        const std::span<std::uint64_t> entries = std::span(values).first(pages);
        if (!read_list(machine.memory, machine.mm, list, entries)) {
            return uapi::H_TOO_HARD;
        }
        const std::int64_t r3 = linked != nullptr
                                    ? Link(machine, *linked, mode, resume).put_all(ioba, entries)
                                    : put_own(*own, ioba, entries);
        // Real mode may fail to release the page of the list.
        if (r3 == uapi::H_SUCCESS && mode == Mode::real && machine.faults.fails()) {
            resume.stage = Stage::put_list;
            return uapi::H_TOO_HARD;
        }
        return r3;
    });
}

HypercallOutcome h_stuff_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                             std::uint64_t value, std::uint64_t pages) {
    return in_both_modes(machine, [&](Mode mode, Resume& resume) -> std::int64_t {
        if (const LinkedTable* const linked = machine.tables.find_linked(liobn)) {
            return Link(machine, *linked, mode, resume).clear(ioba, value, pages);
        }
        GuestTable* const own = machine.tables.find(liobn);
        if (own == nullptr) {
            return uapi::H_TOO_HARD;
        }
        if (!before_end(window_size(*own), ioba, pages) || !is_entry(value) ||
            Tce::of(value).rights != 0) {
            return uapi::H_PARAMETER;
        }
        own->fill(ioba >> kPageShift, pages, value);
        return uapi::H_SUCCESS;
    });
}

HypercallOutcome h_get_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                           std::uint64_t& tce) {
    const GuestTable* const own = machine.tables.find(liobn);
    if (own == nullptr) {
        return {uapi::H_TOO_HARD, HypercallLevel::user};
    }
    if (ioba >= window_size(*own)) {
        return {uapi::H_PARAMETER, HypercallLevel::virtual_mode};
    }
    tce = own->get(ioba >> kPageShift);
    return {uapi::H_SUCCESS, HypercallLevel::virtual_mode};
}

}  // namespace kvmiommu::spapr::y2013
