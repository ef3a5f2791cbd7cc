// SPDX-License-Identifier: MIT
//
// What a hypercall of 2013 does to a linked bus: the table is the group's, and each entry holds a
// pin of its page ("KVM: PPC: Add support for IOMMU in-kernel handling", version 9: the functions
// that end in _iommu, in book3s_64_vio.c and book3s_64_vio_hv.c).

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "spapr/proposals/hypercalls_2013.h"

namespace kvmiommu::spapr::y2013 {

enum class Mode : std::uint8_t { real, virtual_mode };

/// Does a value have no other bits than the address of a page and rights?
bool is_entry(std::uint64_t value);

/// Where real mode stopped (struct kvm_vcpu_arch: tce_rm_fail, tce_tmp_num, tce_tmp_hpas).
class Resume {
  public:
    explicit Resume(mm::AddressSpace& mm) : mm_(mm) {}
    ~Resume() { drop(); }
    Resume(const Resume&) = delete;
    Resume& operator=(const Resume&) = delete;

    enum class Stage : std::uint8_t {
        none,
        get_page,  // TCERM_GETPAGE: the page of the next entry could not be taken
        put_tce,   // TCERM_PUTTCE: the page is taken, the entry could not be stored
        put_list,  // TCERM_PUTLIST: only the page of the list could not be released
    };
    Stage stage = Stage::none;

    /// Entries that are not stored yet, and whose pages are held.
    std::uint64_t taken() const { return taken_; }
    std::span<const std::uint64_t> entries() const { return {entries_.data(), taken_}; }
    void take(Tce entry) { entries_[taken_++] = entry.entry(); }
    /// The first `count` of them are stored: the table holds their pages.
    void put(std::uint64_t count) {
        std::copy(entries_.begin() + count, entries_.begin() + taken_, entries_.begin());
        taken_ -= count;
    }
    /// Releases all pages that are held.
    void drop();

  private:
    mm::AddressSpace& mm_;
    std::uint64_t taken_ = 0;
    std::array<std::uint64_t, kMostEntries> entries_;
};

class Link {
  public:
    Link(const Machine& machine, const LinkedTable& linked, Mode mode, Resume& resume)
        : machine_(machine), table_(linked.table()), mode_(mode), resume_(resume) {}

    // Each returns r3; H_TOO_HARD in real mode: virtual mode continues.

    std::int64_t put(std::uint64_t ioba, std::uint64_t value);
    std::int64_t put_all(std::uint64_t ioba, std::span<const std::uint64_t> values);
    std::int64_t clear(std::uint64_t ioba, std::uint64_t value, std::uint64_t pages);

  private:
    enum class Page : std::uint8_t {
        taken,
        not_now,  // real mode cannot take it
        absent,
    };
    bool real() const { return mode_ == Mode::real; }
    std::int64_t leave(Resume::Stage stage);
    bool in_table(std::uint64_t ioba, std::uint64_t pages) const;
    bool can_be_put(std::uint64_t ioba, std::uint64_t value) const;
    Page take_page(Tce guest);
    void take_out(std::uint64_t page);
    bool build(std::uint64_t ioba);
    bool free(std::uint64_t ioba, std::uint64_t pages);

    const Machine& machine_;
    const Ref<HardwareTable> table_;  // null: the group has none any more
    const Mode mode_;
    Resume& resume_;
};

}  // namespace kvmiommu::spapr::y2013
