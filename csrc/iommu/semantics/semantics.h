// SPDX-License-Identifier: MIT
//
// What a domain may span, and where its page sizes come from. In April 2015 moving pgsize_bitmap
// from the operations to the domain was argued about; each position of that argument is a value
// here
// ("[GIT PULL] iommu: Kill off pgsize_bitmap field from struct iommu_ops", 27 March 2015, and the
// answers to it).

#pragma once

#include <cstdint>
#include <string_view>

namespace kvmiommu::iommu {

enum class Semantics : std::uint8_t {
    /// The driver has one set for all its IOMMUs: what each of them can (Linux 3.3 to 4.6).
    operations,
    /// The domain has the set of the IOMMU that it was made for; the driver says whom else it
    /// serves. Today's.
    domain,
    /// The domain has what all IOMMUs behind it have in common.
    common,
    /// The domain has a table for each kind of IOMMU behind it, and maps in all of them.
    tables,
    /// The domain belongs to one IOMMU.
    instance,
    /// As `common`, of one driver: what was proposed for KVM's old device assignment, exempt from
    /// the check across IOMMUs (DOMAIN_X86_KVM_LEGACY).
    legacy,
    /// There are no domains: each device is mapped for alone (iommu_map(dev, …)).
    device,
};

/// What becomes of a device whose IOMMU has not the page sizes that are in use already, where the
/// semantics leave it open.
enum class AttachAfterMap : std::uint8_t {
    refuse,        // EINVAL
    rebuild,       // all is mapped anew with the smaller pages
    second_table,  // its IOMMU gets a table of its own
};

struct Rules {
    Semantics semantics = Semantics::domain;
    AttachAfterMap after_map = AttachAfterMap::refuse;
};

}  // namespace kvmiommu::iommu
