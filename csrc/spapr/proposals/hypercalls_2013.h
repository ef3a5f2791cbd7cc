// SPDX-License-Identifier: MIT
//
// The hypercalls for TCE tables as they were proposed in 2013 ("KVM: PPC: IOMMU in-kernel
// handling", version 9, patches 10 and 12). They are tried twice: in real mode, with the MMU off,
// where little can be done; then in virtual mode, which goes on where real mode stopped. Only a bus
// that nobody knows goes on to user space from there.

#pragma once

#include <cstdint>

#include "spapr/hypercalls.h"

namespace kvmiommu::spapr::y2013 {

/// The virtual machine of the guest that makes a hypercall.
struct Machine {
    const GuestTables& tables;
    const GuestMemory& memory;
    mm::AddressSpace& mm;
    FaultPoints& faults;  // in real mode: a page that cannot be had there
    bool real_mode;       // is there one? Not in a guest of another hypervisor
    bool forgets_pages;   // spapr-real-mode-forgets-pages
    bool pins_to_read;    // spapr-links-pin-for-reading
};

// Each answers what the guest finds in r3, and who says so. A table of KVM's own has pages of 4 KiB
// from bus address 0 on, and the bus address need not be aligned. H_PARAMETER: past the window's
// end, or bits that an entry has not; for a linked bus an address that is not aligned. H_RESCINDED:
// the group has lost its table. H_HARDWARE: there is no page, or an entry is in the way.

/// Puts an entry, or without rights clears it.
HypercallOutcome h_put_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                           std::uint64_t tce);
/// The same for a list in guest memory, big-endian. H_PARAMETER: more than 512 entries, the list is
/// not aligned to 4 KiB, one without rights for a linked bus. All are put or none.
HypercallOutcome h_put_tce_indirect(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                                    std::uint64_t list, std::uint64_t pages);
/// Clears entries; a table of KVM's own keeps `value`. H_PARAMETER: it has rights, or is not 0 for
/// a linked bus.
HypercallOutcome h_stuff_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                             std::uint64_t value, std::uint64_t pages);
/// User space answers for a linked bus.
HypercallOutcome h_get_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                           std::uint64_t& tce);

}  // namespace kvmiommu::spapr::y2013
