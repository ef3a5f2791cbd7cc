// SPDX-License-Identifier: MIT

#include "fs/kernel_bugs.h"

#include <utility>

namespace kvmiommu::fs {

std::optional<KernelBug> kernel_bug(std::string_view name) {
    static constexpr std::pair<std::string_view, KernelBug> kNames[] = {
        {"type1-dirty-stale-bits", KernelBug::type1_dirty_stale_bits},
        {"type1-unmap-to-the-last-byte", KernelBug::type1_unmap_to_the_last_byte},
    };
    for (const auto& [known, bug] : kNames) {
        if (known == name) {
            return bug;
        }
    }
    return std::nullopt;
}

}  // namespace kvmiommu::fs
