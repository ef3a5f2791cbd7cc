# ruff: noqa: N801 - structures keep the names that the proposals give them
"""How a guest's bus was to be linked to an IOMMU group: proposals for KVM on POWER, 2013.

None was merged, and their numbers went to others. A machine answers them where its description
names the proposal.
"""

import ctypes

from ._struct import Struct
from .ioctl import iow
from .kvm import KVMIO

# ---- A request of the virtual machine, up to version 8

KVM_CAP_SPAPR_TCE_IOMMU = 95  # KVM_CAP_EXT_EMUL_CPUID today


class kvm_create_spapr_tce_iommu(Struct):
    """Argument of KVM_CREATE_SPAPR_TCE_IOMMU, which answers a descriptor."""

    _fields_ = (
        ("liobn", ctypes.c_uint64),
        ("fd", ctypes.c_uint32),  # of a VFIO group
        ("flags", ctypes.c_uint32),  # not looked at
    )


KVM_CREATE_SPAPR_TCE_IOMMU = iow(KVMIO, 0xAF, kvm_create_spapr_tce_iommu)

# ---- A device for each link, version 9; and one for all links, which came after it

KVM_DEV_TYPE_SPAPR_TCE_IOMMU = 4  # KVM_DEV_TYPE_VFIO today

# The attribute group. In the device for one link its address leads to a
# kvm_create_spapr_tce_iommu_linkage; in that for all links the attribute is the liobn, and the
# address leads to the descriptor of a VFIO group, or to -1, which unlinks.
KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE = 0


class kvm_create_spapr_tce_iommu_linkage(Struct):
    """What the linkage attribute of the device for one link holds."""

    _fields_ = (
        ("liobn", ctypes.c_uint64),
        ("fd", ctypes.c_uint32),  # of a VFIO group
        ("flags", ctypes.c_uint32),  # kept, and not looked at
    )


# ---- Tables that KVM keeps as devices too, an idea of the discussion without numbers: these are
# kvmiommu's

KVM_DEV_TYPE_SPAPR_TCE = 5  # KVM_DEV_TYPE_ARM_VGIC_V2 today

# The attribute group; its address leads to a kvm_create_spapr_tce.
KVM_DEV_SPAPR_TCE_ATTR_WINDOW = 0

__all__ = [
    "KVM_CAP_SPAPR_TCE_IOMMU",
    "KVM_CREATE_SPAPR_TCE_IOMMU",
    "KVM_DEV_SPAPR_TCE_ATTR_WINDOW",
    "KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE",
    "KVM_DEV_TYPE_SPAPR_TCE",
    "KVM_DEV_TYPE_SPAPR_TCE_IOMMU",
    "kvm_create_spapr_tce_iommu",
    "kvm_create_spapr_tce_iommu_linkage",
]
