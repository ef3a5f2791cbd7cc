// SPDX-License-Identifier: MIT
//
// What a domain may span, and where its page sizes come from. Whether pgsize_bitmap should move
// from the operations to the domain was discussed in 2015 ("[GIT PULL] iommu: Kill off
// pgsize_bitmap field from struct iommu_ops", 27 March, and the replies of April); each proposal is
// a value here.

#pragma once

#include <cstdint>
#include <string_view>

namespace kvmiommu::iommu {

enum class Semantics : std::uint8_t {
    /// The driver has one set for all its IOMMUs: what each of them can (Linux 3.3 to 4.6).
    operations,
    /// The domain has the set of the IOMMU that it was allocated for, and its driver decides which
    /// other devices can be attached. Linux since 4.7.
    domain,
    /// The domain has what all IOMMUs behind it have in common.
    common,
    /// The domain has a table for each kind of IOMMU behind it, and maps in all of them.
    tables,
    /// The domain belongs to one IOMMU.
    instance,
    /// As `common`, for the IOMMUs of one driver: proposed for KVM's old device assignment, which
    /// would have been exempt from the check across IOMMUs (DOMAIN_X86_KVM_LEGACY).
    legacy,
    /// There are no domains: each device has its own mappings (iommu_map(dev, …)).
    device,
};

/// What an attach does if the device's IOMMU lacks page sizes that are in use already, where the
/// semantics leave that open.
enum class AttachAfterMap : std::uint8_t {
    refuse,        // EINVAL
    rebuild,       // maps everything anew with the smaller pages
    second_table,  // makes another table for that IOMMU
};

struct Rules {
    Semantics semantics = Semantics::domain;
    AttachAfterMap after_map = AttachAfterMap::refuse;
};

}  // namespace kvmiommu::iommu
