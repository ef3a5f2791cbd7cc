// SPDX-License-Identifier: MIT
//
// Bugs of the real kernel that are reproduced unless a machine's description names them as fixed.
// docs/reference/kernel-bugs.md documents each. Memory-unsafe bugs are never reproduced.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace kvmiommu::fs {

enum class KernelBug : std::uint8_t {
    // VFIO_IOMMU_DIRTY_PAGES: pages behind a mapping are reported as dirty after a call whose
    // bitmap began at another iova.
    type1_dirty_stale_bits,
    // VFIO_IOMMU_UNMAP_DMA of a range that ends with the last byte of the space unmaps nothing.
    type1_unmap_to_the_last_byte,
    // VFIO_IOMMU_MAP_DMA and UNMAP_DMA of a sPAPR container: an iova that is not aligned to the
    // window's pages, or an unmap past its end, returns 1 instead of EINVAL.
    spapr_check_answers_one,
    // VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY of memory with entries returns 0 instead of EBUSY; the
    // memory stays pinned and charged.
    spapr_unregister_while_mapped,
    // VFIO_IOMMU_SPAPR_TCE_CREATE that the platform refuses leaves the table charged.
    spapr_failed_window_stays_charged,
    // A removed window stays linked to the guest's table in KVM: hypercalls still count entries of
    // the registered memory, which are never cleared.
    spapr_removed_window_stays_attached,
    // H_PUT_TCE_INDIRECT: an entry without rights raises the count of its registered memory, which
    // is never dropped.
    spapr_indirect_maps_without_rights,
    // Until 6.12.117: only the first TCE of a range is checked against the window. The kernel
    // accessed memory past the table's end; here entries past it are ignored.
    spapr_only_first_page_checked,
    // Of a proposal of 2013: H_PUT_TCE in real mode returns H_SUCCESS if it finds no page, without
    // an entry.
    spapr_real_mode_forgets_pages,
    // Of a proposal of 2013: a page that a device may write is pinned for reading only.
    spapr_links_pin_for_reading,
};

/// The bug of a name in a description ("type1-dirty-stale-bits").
std::optional<KernelBug> kernel_bug(std::string_view name);

/// A set of bugs.
class FixedBugs {
  public:
    void add(KernelBug bug) { bits_ |= std::uint64_t{1} << static_cast<unsigned>(bug); }
    bool contains(KernelBug bug) const { return (bits_ >> static_cast<unsigned>(bug) & 1) != 0; }

  private:
    std::uint64_t bits_ = 0;
};

}  // namespace kvmiommu::fs
