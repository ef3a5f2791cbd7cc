// SPDX-License-Identifier: MIT

#include "fs/proposals.h"

#include <utility>

namespace kvmiommu::fs {

std::optional<Proposal> proposal(std::string_view name) {
    static constexpr std::pair<std::string_view, Proposal> kNames[] = {
        {"spapr-tce-iommu-ioctl", Proposal::spapr_tce_iommu_ioctl},
        {"spapr-tce-iommu-device", Proposal::spapr_tce_iommu_device},
        {"spapr-tce-iommu-links", Proposal::spapr_tce_iommu_links},
        {"spapr-tce-devices", Proposal::spapr_tce_devices},
    };
    for (const auto& [known, proposal] : kNames) {
        if (known == name) {
            return proposal;
        }
    }
    return std::nullopt;
}

}  // namespace kvmiommu::fs
