// SPDX-License-Identifier: MIT
//
// The hypercalls of a guest that concern its TCE tables, as far as the kernel answers them
// (arch/powerpc/kvm/book3s_64_vio.c). Their bits and numbers: LoPAR, "TCE hypervisor calls".

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/base.h"
#include "mm/mm.h"
#include "spapr/guest_table.h"
#include "spapr/proposals/linked_table.h"

namespace kvmiommu::spapr {

/// Who answers a hypercall. Real mode is of the past: the kernel had it until 5.18.
enum class HypercallLevel : std::uint8_t { real_mode, virtual_mode, user };

struct HypercallOutcome {
    std::int64_t r3;
    HypercallLevel level;
};

/// Guest physical memory.
class GuestMemory {
  public:
    virtual ~GuestMemory() = default;
    /// The user address behind a guest address; nothing: there is no memory.
    virtual std::optional<std::uint64_t> user_address(std::uint64_t guest) const = 0;

  protected:
    GuestMemory() = default;
};

/// The list of H_PUT_TCE_INDIRECT (LoPAR): of so many entries at most, so aligned, it is in one
/// page.
inline constexpr std::uint64_t kMostEntries = 512;
inline constexpr std::uint64_t kListAlignment = 4096;  // bytes
/// Reads one, which is big-endian, from a guest address. False: there is no such memory.
bool read_list(const GuestMemory& memory, mm::AddressSpace& mm, std::uint64_t list,
               std::span<std::uint64_t> entries);

/// The tables of one virtual machine. Its lock guards them.
class GuestTables {
  public:
    /// EBUSY there is one for this bus.
    Result<> add(GuestTable& table);
    Result<> add(const LinkedTable& table);
    void remove(GuestTable& table) { std::erase(tables_, &table); }
    void remove(const LinkedTable& table) { std::erase(linked_, &table); }
    /// EBUSY there is one for this bus.
    Result<> check_free(std::uint64_t liobn) const;
    GuestTable* find(std::uint64_t liobn) const {
        for (GuestTable* const table : tables_) {
            if (table->liobn() == liobn) {
                return table;
            }
        }
        return nullptr;
    }
    const std::vector<GuestTable*>& tables() const { return tables_; }

    /// What links a bus to an IOMMU group's own table, as it was proposed in 2013.
    const LinkedTable* find_linked(std::uint64_t liobn) const;
    const std::vector<const LinkedTable*>& linked() const { return linked_; }

  private:
    std::vector<GuestTable*> tables_;  // the newest first
    std::vector<const LinkedTable*> linked_;
};

/// Who makes a hypercall.
struct Caller {
    const GuestTables& tables;
    const GuestMemory& memory;
    mm::AddressSpace& mm;
    FaultPoints& faults;
    // Is an entry of a list without rights one to be cleared? The kernel maps it to nothing and
    // counts that as a mapping (spapr-indirect-maps-without-rights).
    bool indirect_clears = false;
    // Does a range have to lie in the window as a whole (spapr-only-first-page-checked)?
    bool whole_range = true;
};

// Each answers what the guest finds in r3. H_TOO_HARD: user space has to answer. H_PARAMETER: the
// bus address is not aligned, or out of the window; and what each adds.

/// Maps the page at a bus address to a guest address with rights, or without rights unmaps it.
/// H_TOO_HARD: no such bus, no such guest memory, not registered behind a hardware table.
std::int64_t h_put_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                       std::uint64_t tce);
/// The same for the entries of a list in guest memory, big-endian. H_PARAMETER: more than 512, or
/// the list is not aligned to 4 KiB. All are looked at before one is put.
std::int64_t h_put_tce_indirect(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                                std::uint64_t list, std::uint64_t pages);
/// Unmaps pages and leaves `value` in their entries. H_PARAMETER: it has rights.
std::int64_t h_stuff_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                         std::uint64_t value, std::uint64_t pages);
/// `tce` becomes the entry, which is r4 for the guest.
std::int64_t h_get_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                       std::uint64_t& tce);

}  // namespace kvmiommu::spapr
