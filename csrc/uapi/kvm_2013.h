// SPDX-License-Identifier: MIT
//
// The link of a guest's bus to an IOMMU group, as proposed for KVM on POWER in 2013 and never
// merged. Its numbers were assigned to other features, which are named beside them.
//
// Source: "KVM: PPC: IOMMU in-kernel handling", its versions up to 9 and what followed, on
// kvm-ppc@vger.kernel.org from May to September 2013.

#pragma once

#include <cstddef>
#include <cstdint>

#include "uapi/ioctl.h"
#include "uapi/kvm.h"

namespace kvmiommu::uapi {

// ---- A request of the virtual machine, up to version 8

inline constexpr std::uint32_t KVM_CAP_SPAPR_TCE_IOMMU = 95;  // KVM_CAP_EXT_EMUL_CPUID today

// Argument of KVM_CREATE_SPAPR_TCE_IOMMU, which returns a descriptor.
struct kvm_create_spapr_tce_iommu {
    std::uint64_t liobn;
    std::uint32_t fd;     // of a VFIO group
    std::uint32_t flags;  // ignored
};
static_assert(sizeof(kvm_create_spapr_tce_iommu) == 16 &&
              offsetof(kvm_create_spapr_tce_iommu, fd) == 8 &&
              offsetof(kvm_create_spapr_tce_iommu, flags) == 12);

// KVM_PPC_CONFIGURE_V3_MMU today.
inline constexpr Request KVM_CREATE_SPAPR_TCE_IOMMU = iow<kvm_create_spapr_tce_iommu>(KVMIO, 0xaf);

// ---- A device for each link, version 9; and one for all links, which came after it

inline constexpr std::uint32_t KVM_DEV_TYPE_SPAPR_TCE_IOMMU = 4;  // KVM_DEV_TYPE_VFIO today

// The attribute group. In the device for one link the attribute's address points to a
// kvm_create_spapr_tce_iommu_linkage. In the device for all links the attribute is the liobn, and
// its address points to the descriptor of a VFIO group, or to -1 to unlink.
inline constexpr std::uint32_t KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE = 0;

struct kvm_create_spapr_tce_iommu_linkage {
    std::uint64_t liobn;
    std::uint32_t fd;     // of a VFIO group
    std::uint32_t flags;  // stored and ignored
};
static_assert(sizeof(kvm_create_spapr_tce_iommu_linkage) == 16 &&
              offsetof(kvm_create_spapr_tce_iommu_linkage, fd) == 8 &&
              offsetof(kvm_create_spapr_tce_iommu_linkage, flags) == 12);

// ---- Tables that KVM keeps as devices too, an idea of the discussion without numbers: these are
// kvmiommu's

inline constexpr std::uint32_t KVM_DEV_TYPE_SPAPR_TCE = 5;  // KVM_DEV_TYPE_ARM_VGIC_V2 today

// The attribute group; its address leads to a kvm_create_spapr_tce.
inline constexpr std::uint32_t KVM_DEV_SPAPR_TCE_ATTR_WINDOW = 0;

}  // namespace kvmiommu::uapi
