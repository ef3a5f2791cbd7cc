// SPDX-License-Identifier: MIT
//
// Page tables that no IOMMU walks: domains of a format alone, as the kernel's io-pgtable makes
// them for its own tests (drivers/iommu/io-pgtable-arm.c: arm_lpae_do_selftests). No device can be
// attached to them.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/base.h"
#include "iommu/domain.h"
#include "iommu/pgtable/policy.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

/// What create_bare_domain() is to make; 0 stands for the format's default.
struct BareRequest {
    std::uint64_t page_sizes = 0;  // a bit each
    unsigned bits = 0;             // of an iova
    unsigned levels = 0;           // to begin with, if the format has a choice
    bool dirty_tracking = false;
    pgtable::TablePolicy policy{};
};

/// A page-table format by its name.
struct FormatInfo {
    const char* name;
    std::uint64_t page_sizes;  // all there are, a bit each
    std::uint64_t iova_bits;   // possible widths: bit n stands for n, bit 0 for 64
    unsigned default_bits;     // of an iova
    unsigned output_bits;      // of a physical address in a leaf
    bool can_track_dirty;      // leaves have a dirty bit
    bool can_split;            // a leaf can be replaced by smaller ones
    unsigned most_levels;      // of a request; 0: the format has no choice
    bool one_page_size;        // a table has pages of one size only
    bool upper_half;           // the high bits of every iova are ones
    const char* note;
    Result<std::unique_ptr<Domain>> (*create)(mm::PhysicalMemory& memory,
                                              const BareRequest& request, FaultPoints& faults);
};

/// All formats.
inline constexpr std::size_t kFormatCount = 16;
std::span<const FormatInfo, kFormatCount> formats();
/// One of them; null: there is none of that name.
const FormatInfo* find_format(std::string_view name);

/// A domain of a format in `memory`.
/// EINVAL a number of the request is not one that the format has
/// EOPNOTSUPP the format has no dirty bits, or its leaves cannot be split
/// ENOMEM
Result<std::unique_ptr<Domain>> create_bare_domain(mm::PhysicalMemory& memory,
                                                   const FormatInfo& format, BareRequest request,
                                                   FaultPoints& faults);

}  // namespace kvmiommu::iommu
