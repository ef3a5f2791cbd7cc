// SPDX-License-Identifier: MIT

#include "fs/kernel_bugs.h"

#include <utility>

namespace kvmiommu::fs {

std::optional<KernelBug> kernel_bug(std::string_view name) {
    static constexpr std::pair<std::string_view, KernelBug> kNames[] = {
        {"type1-dirty-stale-bits", KernelBug::type1_dirty_stale_bits},
        {"type1-unmap-to-the-last-byte", KernelBug::type1_unmap_to_the_last_byte},
        {"spapr-check-answers-one", KernelBug::spapr_check_answers_one},
        {"spapr-unregister-while-mapped", KernelBug::spapr_unregister_while_mapped},
        {"spapr-failed-window-stays-charged", KernelBug::spapr_failed_window_stays_charged},
        {"spapr-removed-window-stays-attached", KernelBug::spapr_removed_window_stays_attached},
        {"spapr-indirect-maps-without-rights", KernelBug::spapr_indirect_maps_without_rights},
        {"spapr-only-first-page-checked", KernelBug::spapr_only_first_page_checked},
        {"spapr-real-mode-forgets-pages", KernelBug::spapr_real_mode_forgets_pages},
        {"spapr-links-pin-for-reading", KernelBug::spapr_links_pin_for_reading},
    };
    for (const auto& [known, bug] : kNames) {
        if (known == name) {
            return bug;
        }
    }
    return std::nullopt;
}

}  // namespace kvmiommu::fs
