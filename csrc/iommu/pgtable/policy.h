// SPDX-License-Identifier: MIT
//
// Where drivers of the kernel differ in what map and unmap do, though their tables do not.

#pragma once

#include <cerrno>
#include <cstdint>

namespace kvmiommu::iommu::pgtable {

/// What becomes of a page that an unmap begins or ends in.
enum class PartialUnmap : std::uint8_t {
    /// It goes, and its full size is counted (drivers/iommu/intel/iommu.c, amd/io_pgtable.c).
    whole,
    /// It goes if the unmap begins at its start; else the unmap ends before it
    /// (drivers/iommu/generic_pt/iommu_pt.h).
    whole_from_start,
    /// What remains of it is mapped with smaller pages
    /// (drivers/iommu/io-pgtable-arm.c: arm_lpae_split_blk_unmap, until 6.13).
    split,
    /// The unmap ends before it (drivers/iommu/io-pgtable-arm.c: __arm_lpae_unmap, since 6.14).
    refuse,
};

struct TablePolicy {
    PartialUnmap partial_unmap = PartialUnmap::whole;
    /// What a map over a mapping is answered: EEXIST, or EADDRINUSE in generic_pt.
    int overlap = EEXIST;
};

}  // namespace kvmiommu::iommu::pgtable
