// SPDX-License-Identifier: MIT
//
// Bugs of the real kernel that are reproduced unless a machine's description names them as fixed.
// docs/reference/kernel-bugs.md says what each does. Bugs that would be unsafe are never
// reproduced.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace kvmiommu::fs {

enum class KernelBug : std::uint8_t {
    // VFIO_IOMMU_DIRTY_PAGES: pages behind a mapping show as dirty after a call whose bitmap
    // began at another iova.
    type1_dirty_stale_bits,
    // VFIO_IOMMU_UNMAP_DMA of a range that ends with the last byte of the space unmaps nothing.
    type1_unmap_to_the_last_byte,
    // VFIO_IOMMU_MAP_DMA and UNMAP_DMA of a sPAPR container: an iova that is not aligned to the
    // window's pages, or an unmap past its end, returns 1 instead of EINVAL.
    spapr_check_answers_one,
    // VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY of memory that entries lead to: 0 instead of EBUSY, and it
    // stays pinned and charged.
    spapr_unregister_while_mapped,
    // VFIO_IOMMU_SPAPR_TCE_CREATE that the platform refuses: the table stays charged.
    spapr_failed_window_stays_charged,
    // A window that is removed stays behind the guest's table for KVM: hypercalls go on to count
    // entries of the registered memory, and nobody takes these out again.
    spapr_removed_window_stays_attached,
    // H_PUT_TCE_INDIRECT: an entry without rights counts as mapped from the memory that it names,
    // for good.
    spapr_indirect_maps_without_rights,
    // Until 6.12.117: of a range of TCEs only the first is held against the window. What is past
    // its end is not touched here, and was in the kernel.
    spapr_only_first_page_checked,
    // Of a proposal of 2013: H_PUT_TCE in real mode returns H_SUCCESS where it finds no page, and
    // has put nothing.
    spapr_real_mode_forgets_pages,
    // Of a proposal of 2013: a page that a device may write is taken as one that it may read.
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
