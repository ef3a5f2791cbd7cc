// SPDX-License-Identifier: MIT
//
// Proposals for the kernel that were never merged. A machine has those that its description names.
// docs/explanation/proposals-of-2013.md documents each.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace kvmiommu::fs {

enum class Proposal : std::uint8_t {
    // KVM_CREATE_SPAPR_TCE_IOMMU links a guest's bus to an IOMMU group: up to version 8.
    spapr_tce_iommu_ioctl,
    // A KVM device for each link: version 9.
    spapr_tce_iommu_device,
    // One KVM device for all links, a later proposal.
    spapr_tce_iommu_links,
    // A KVM device for each table, emulated or linked; KVM_CREATE_SPAPR_TCE creates one too.
    spapr_tce_devices,
};

/// The proposal of a name in a description ("spapr-tce-iommu-ioctl").
std::optional<Proposal> proposal(std::string_view name);

/// A set of proposals.
class Proposals {
  public:
    void add(Proposal proposal) { bits_ |= std::uint64_t{1} << static_cast<unsigned>(proposal); }
    bool contains(Proposal proposal) const {
        return (bits_ >> static_cast<unsigned>(proposal) & 1) != 0;
    }
    /// Are the guests' TCE tables those of a KVM of 2013?
    bool links_of_2013() const {
        return contains(Proposal::spapr_tce_iommu_ioctl) ||
               contains(Proposal::spapr_tce_iommu_device) ||
               contains(Proposal::spapr_tce_iommu_links) || contains(Proposal::spapr_tce_devices);
    }

  private:
    std::uint64_t bits_ = 0;
};

}  // namespace kvmiommu::fs
