// SPDX-License-Identifier: MIT
//
// What was proposed for the kernel and never merged. A machine has none of it, unless its
// description names it. docs/explanation/proposals-of-2013.md says what each is.

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
    // One KVM device for all links, which came after it.
    spapr_tce_iommu_links,
    // A KVM device for each table, whether KVM's own or linked; the old request makes one too.
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
    /// Is the machine's KVM that of 2013, as far as guests' TCE tables go?
    bool links_of_2013() const {
        return contains(Proposal::spapr_tce_iommu_ioctl) ||
               contains(Proposal::spapr_tce_iommu_device) ||
               contains(Proposal::spapr_tce_iommu_links) || contains(Proposal::spapr_tce_devices);
    }

  private:
    std::uint64_t bits_ = 0;
};

}  // namespace kvmiommu::fs
