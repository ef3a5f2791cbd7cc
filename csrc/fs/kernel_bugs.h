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
