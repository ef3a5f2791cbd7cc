// SPDX-License-Identifier: MIT
//
// What map and unmap do differently from driver to driver, with the same tables.

#pragma once

#include <cerrno>
#include <cstdint>

namespace kvmiommu::iommu::pgtable {

/// What an unmap does with a leaf that it covers a part of.
enum class PartialUnmap : std::uint8_t {
    /// Unmaps it, and counts its full size (drivers/iommu/intel/iommu.c, amd/io_pgtable.c).
    whole,
    /// Unmaps it if the unmap begins at its start; else the unmap ends before it (drivers/iommu/
    /// generic_pt/iommu_pt.h).
    whole_from_start,
    /// Replaces it by smaller leaves first (drivers/iommu/io-pgtable-arm.c:
    /// arm_lpae_split_blk_unmap, until 6.13).
    split,
    /// Ends before it (drivers/iommu/io-pgtable-arm.c: __arm_lpae_unmap, since 6.14).
    refuse,
};

struct TablePolicy {
    PartialUnmap partial_unmap = PartialUnmap::whole;
    /// The errno of a map over a mapping: EEXIST, or EADDRINUSE in generic_pt.
    int overlap = EEXIST;
};

}  // namespace kvmiommu::iommu::pgtable
