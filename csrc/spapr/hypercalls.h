// SPDX-License-Identifier: MIT
//
// The hypercalls of a guest for its TCE tables, as far as the kernel handles them
// (arch/powerpc/kvm/ book3s_64_vio.c). Their bits and numbers: LoPAR, "TCE hypervisor calls".

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

/// Where a hypercall is handled. The kernel had real mode until 5.18.
enum class HypercallLevel : std::uint8_t { real_mode, virtual_mode, user };

struct HypercallOutcome {
    std::int64_t r3;
    HypercallLevel level;
};

/// Guest physical memory.
class GuestMemory {
  public:
    virtual ~GuestMemory() = default;
    /// The user address behind a guest address; none: there is no memory.
    virtual std::optional<std::uint64_t> user_address(std::uint64_t guest) const = 0;

  protected:
    GuestMemory() = default;
};

/// The list of H_PUT_TCE_INDIRECT (LoPAR) has at most as many entries, and is aligned, so that it
/// is in one page.
inline constexpr std::uint64_t kMostEntries = 512;
inline constexpr std::uint64_t kListAlignment = 4096;  // bytes
/// Reads a list, which is big-endian, from a guest address. False: there is no such memory.
bool read_list(const GuestMemory& memory, mm::AddressSpace& mm, std::uint64_t list,
               std::span<std::uint64_t> entries);

/// The tables of one virtual machine, whose lock guards them.
class GuestTables {
  public:
    /// EBUSY the bus has a table
    Result<> add(GuestTable& table);
    Result<> add(const LinkedTable& table);
    void remove(GuestTable& table) { std::erase(tables_, &table); }
    void remove(const LinkedTable& table) { std::erase(linked_, &table); }
    /// EBUSY the bus has a table
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

    /// The link of a bus to the table of an IOMMU group, as proposed in 2013; or null.
    const LinkedTable* find_linked(std::uint64_t liobn) const;
    const std::vector<const LinkedTable*>& linked() const { return linked_; }

  private:
    std::vector<GuestTable*> tables_;  // the newest first
    std::vector<const LinkedTable*> linked_;
};

/// The virtual machine that makes a hypercall.
struct Caller {
    const GuestTables& tables;
    const GuestMemory& memory;
    mm::AddressSpace& mm;
    FaultPoints& faults;
    // Does an entry of a list without rights unmap? The kernel counts it as a mapping
    // (spapr-indirect-maps-without-rights).
    bool indirect_clears = false;
    // Must a range be in the window as a whole (spapr-only-first-page-checked)?
    bool whole_range = true;
};

// Each returns r3 of the guest; H_TOO_HARD: user space is to handle it.
// H_TOO_HARD the bus has no table
// H_PARAMETER the bus address is not aligned, or not in the window

/// Maps the page at a bus address to a guest address with rights, or without rights unmaps it.
/// H_TOO_HARD there is no memory at the guest address
/// H_TOO_HARD a hardware table is linked, and the memory is not registered
std::int64_t h_put_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                       std::uint64_t tce);
/// The same for the entries of a list in guest memory, big-endian. All are checked before one is
/// stored.
/// H_PARAMETER more than 512 entries, or the list is not aligned to 4 KiB
std::int64_t h_put_tce_indirect(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                                std::uint64_t list, std::uint64_t pages);
/// Unmaps pages and stores `value` in their entries.
/// H_PARAMETER the value has rights
std::int64_t h_stuff_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                         std::uint64_t value, std::uint64_t pages);
/// Sets `tce` to the entry, which is r4 of the guest.
std::int64_t h_get_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                       std::uint64_t& tce);

}  // namespace kvmiommu::spapr
