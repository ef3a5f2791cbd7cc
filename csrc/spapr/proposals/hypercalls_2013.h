// SPDX-License-Identifier: MIT
//
// The hypercalls for TCE tables as they were proposed in 2013 ("KVM: PPC: IOMMU in-kernel
// handling", version 9, patches 10 and 12). They are handled in real mode, with the MMU off, where
// little can be done; then in virtual mode, which continues where real mode stopped. Only a bus
// without a table is left to user space.

#pragma once

#include <cstdint>

#include "spapr/hypercalls.h"

namespace kvmiommu::spapr::y2013 {

/// The virtual machine of the guest that makes a hypercall.
struct Machine {
    const GuestTables& tables;
    const GuestMemory& memory;
    mm::AddressSpace& mm;
    FaultPoints& faults;  // in real mode: a page that cannot be taken there
    bool real_mode;       // not in a guest of another hypervisor
    bool forgets_pages;   // spapr-real-mode-forgets-pages
    bool pins_to_read;    // spapr-links-pin-for-reading
};

// Each returns r3 of the guest, and where it was handled. A table of KVM's own has pages of 4 KiB
// from bus address 0 on, and the bus address need not be aligned. H_PARAMETER past the end of the
// window, or reserved bits in an entry H_PARAMETER a linked bus, and an address that is not aligned
// H_RESCINDED a linked bus whose group has no table any more
// H_HARDWARE a linked bus: there is no page, or something is mapped already

/// Stores an entry, or without rights clears it.
HypercallOutcome h_put_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                           std::uint64_t tce);
/// The same for a list in guest memory, big-endian: all entries or none.
/// H_PARAMETER more than 512 entries, or the list is not aligned to 4 KiB
/// H_PARAMETER a linked bus, and an entry without rights
HypercallOutcome h_put_tce_indirect(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                                    std::uint64_t list, std::uint64_t pages);
/// Clears entries; in a table of KVM's own it stores `value` in them.
/// H_PARAMETER the value has rights, or is not 0 for a linked bus
HypercallOutcome h_stuff_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                             std::uint64_t value, std::uint64_t pages);
/// User space handles it for a linked bus.
HypercallOutcome h_get_tce(const Machine& machine, std::uint64_t liobn, std::uint64_t ioba,
                           std::uint64_t& tce);

}  // namespace kvmiommu::spapr::y2013
