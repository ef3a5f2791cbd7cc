# ruff: noqa: N801 - structures keep the names that the kernel gives them
"""KVM of Linux 6.12, as far as virtual machines with assigned devices use it.

The names of ``<linux/kvm.h>``, with POWER's TCE tables and the device assignment that KVM had of
its own until 4.12. KVM encodes the size of the argument into a request, so a request is a different
number on POWER::

    KVM_SET_DEVICE_ATTR.number("power")  # 0x8018aee1; generic 0x4018aee1

Registers of the architectures have no structure here, only the sizes that their requests encode.
"""

import ctypes

from ._struct import Struct, Union, array
from .ioctl import io, ior, iow, iowr

# ---- System: /dev/kvm

KVM_API_VERSION = 12
KVMIO = 0xAE

KVM_GET_API_VERSION = io(KVMIO, 0x00)
KVM_CREATE_VM = io(KVMIO, 0x01)  # the argument is the machine's kind, the answer a descriptor
KVM_CHECK_EXTENSION = io(KVMIO, 0x03)  # a KVM_CAP_*; also asked of a VM
KVM_GET_VCPU_MMAP_SIZE = io(KVMIO, 0x04)

KVM_VM_PPC_HV = 1
KVM_VM_PPC_PR = 2

# ---- Memory slots


class kvm_memory_region(Struct):
    """Argument of KVM_SET_MEMORY_REGION, long refused and gone from 6.12's header."""

    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("guest_phys_addr", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
    )


class kvm_userspace_memory_region(Struct):
    """Argument of KVM_SET_USER_MEMORY_REGION; memory_size 0 deletes the slot."""

    _fields_ = (
        ("slot", ctypes.c_uint32),  # the address space in the high 16 bits
        ("flags", ctypes.c_uint32),  # KVM_MEM_*
        ("guest_phys_addr", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
        ("userspace_addr", ctypes.c_uint64),
    )


class kvm_userspace_memory_region2(Struct):
    """Argument of KVM_SET_USER_MEMORY_REGION2."""

    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # KVM_MEM_*
        ("guest_phys_addr", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
        ("userspace_addr", ctypes.c_uint64),
        ("guest_memfd_offset", ctypes.c_uint64),
        ("guest_memfd", ctypes.c_uint32),
        ("pad1", ctypes.c_uint32),
        ("pad2", array(ctypes.c_uint64, 14)),
    )


KVM_MEM_LOG_DIRTY_PAGES = 1 << 0
KVM_MEM_READONLY = 1 << 1
KVM_MEM_GUEST_MEMFD = 1 << 2

KVM_SET_MEMORY_REGION = iow(KVMIO, 0x40, kvm_memory_region)
KVM_SET_NR_MMU_PAGES = io(KVMIO, 0x44)
KVM_GET_NR_MMU_PAGES = io(KVMIO, 0x45)
KVM_SET_USER_MEMORY_REGION = iow(KVMIO, 0x46, kvm_userspace_memory_region)
KVM_SET_TSS_ADDR = io(KVMIO, 0x47)
KVM_SET_IDENTITY_MAP_ADDR = iow(KVMIO, 0x48, ctypes.c_uint64)
KVM_SET_USER_MEMORY_REGION2 = iow(KVMIO, 0x49, kvm_userspace_memory_region2)


class kvm_memory_attributes(Struct):
    """Argument of KVM_SET_MEMORY_ATTRIBUTES."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("attributes", ctypes.c_uint64),  # KVM_MEMORY_ATTRIBUTE_PRIVATE
        ("flags", ctypes.c_uint64),
    )


KVM_MEMORY_ATTRIBUTE_PRIVATE = 1 << 3

KVM_SET_MEMORY_ATTRIBUTES = iow(KVMIO, 0xD2, kvm_memory_attributes)


class kvm_create_guest_memfd(Struct):
    _fields_ = (
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("reserved", array(ctypes.c_uint64, 6)),
    )


KVM_CREATE_GUEST_MEMFD = iowr(KVMIO, 0xD4, kvm_create_guest_memfd)


class kvm_pre_fault_memory(Struct):
    _fields_ = (
        ("gpa", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("padding", array(ctypes.c_uint64, 5)),
    )


KVM_PRE_FAULT_MEMORY = iowr(KVMIO, 0xD5, kvm_pre_fault_memory)

# ---- Dirty pages


class _KvmDirtyLogUnion(Union):
    _fields_ = (
        ("dirty_bitmap", ctypes.c_uint64),  # address
        ("padding2", ctypes.c_uint64),
    )


class kvm_dirty_log(Struct):
    """Argument of KVM_GET_DIRTY_LOG."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("padding1", ctypes.c_uint32),
        ("_union", _KvmDirtyLogUnion),
    )


KVM_GET_DIRTY_LOG = iow(KVMIO, 0x42, kvm_dirty_log)


class _KvmClearDirtyLogUnion(Union):
    _fields_ = (
        ("dirty_bitmap", ctypes.c_uint64),  # address
        ("padding2", ctypes.c_uint64),
    )


class kvm_clear_dirty_log(Struct):
    _anonymous_ = ("_union",)
    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("num_pages", ctypes.c_uint32),
        ("first_page", ctypes.c_uint64),
        ("_union", _KvmClearDirtyLogUnion),
    )


KVM_CLEAR_DIRTY_LOG = iowr(KVMIO, 0xC0, kvm_clear_dirty_log)

KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE = 1 << 0
KVM_DIRTY_LOG_INITIALLY_SET = 1 << 1


class kvm_dirty_gfn(Struct):
    """An entry of a vcpu's dirty ring."""

    _fields_ = (
        ("flags", ctypes.c_uint32),  # KVM_DIRTY_GFN_F_*
        ("slot", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
    )


KVM_DIRTY_GFN_F_DIRTY = 1 << 0
KVM_DIRTY_GFN_F_RESET = 1 << 1
KVM_DIRTY_GFN_F_MASK = 0x3

KVM_RESET_DIRTY_RINGS = io(KVMIO, 0xC7)

# ---- Capabilities


class kvm_enable_cap(Struct):
    """Argument of KVM_ENABLE_CAP."""

    _fields_ = (
        ("cap", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("args", array(ctypes.c_uint64, 4)),
        ("pad", array(ctypes.c_uint8, 64)),
    )


KVM_ENABLE_CAP = iow(KVMIO, 0xA3, kvm_enable_cap)

KVM_CAP_IRQCHIP = 0
KVM_CAP_HLT = 1
KVM_CAP_MMU_SHADOW_CACHE_CONTROL = 2
KVM_CAP_USER_MEMORY = 3
KVM_CAP_SET_TSS_ADDR = 4
KVM_CAP_VAPIC = 6
KVM_CAP_EXT_CPUID = 7
KVM_CAP_CLOCKSOURCE = 8
KVM_CAP_NR_VCPUS = 9
KVM_CAP_NR_MEMSLOTS = 10
KVM_CAP_PIT = 11
KVM_CAP_NOP_IO_DELAY = 12
KVM_CAP_PV_MMU = 13
KVM_CAP_MP_STATE = 14
KVM_CAP_COALESCED_MMIO = 15
KVM_CAP_SYNC_MMU = 16
KVM_CAP_DEVICE_ASSIGNMENT = 17  # legacy assignment, until 4.12
KVM_CAP_IOMMU = 18  # legacy assignment: the value says whether PCI has an IOMMU
KVM_CAP_DEVICE_MSI = 20  # legacy assignment
KVM_CAP_DESTROY_MEMORY_REGION_WORKS = 21
KVM_CAP_USER_NMI = 22
KVM_CAP_SET_GUEST_DEBUG = 23
KVM_CAP_REINJECT_CONTROL = 24
KVM_CAP_IRQ_ROUTING = 25
KVM_CAP_IRQ_INJECT_STATUS = 26
KVM_CAP_DEVICE_DEASSIGNMENT = 27  # legacy assignment
KVM_CAP_DEVICE_MSIX = 28  # legacy assignment
KVM_CAP_ASSIGN_DEV_IRQ = 29  # legacy assignment
KVM_CAP_JOIN_MEMORY_REGIONS_WORKS = 30
KVM_CAP_MCE = 31
KVM_CAP_IRQFD = 32
KVM_CAP_PIT2 = 33
KVM_CAP_SET_BOOT_CPU_ID = 34
KVM_CAP_PIT_STATE2 = 35
KVM_CAP_IOEVENTFD = 36
KVM_CAP_SET_IDENTITY_MAP_ADDR = 37
KVM_CAP_XEN_HVM = 38
KVM_CAP_ADJUST_CLOCK = 39
KVM_CAP_INTERNAL_ERROR_DATA = 40
KVM_CAP_VCPU_EVENTS = 41
KVM_CAP_S390_PSW = 42
KVM_CAP_PPC_SEGSTATE = 43
KVM_CAP_HYPERV = 44
KVM_CAP_HYPERV_VAPIC = 45
KVM_CAP_HYPERV_SPIN = 46
KVM_CAP_PCI_SEGMENT = 47
KVM_CAP_PPC_PAIRED_SINGLES = 48
KVM_CAP_INTR_SHADOW = 49
KVM_CAP_DEBUGREGS = 50
KVM_CAP_X86_ROBUST_SINGLESTEP = 51
KVM_CAP_PPC_OSI = 52
KVM_CAP_PPC_UNSET_IRQ = 53
KVM_CAP_ENABLE_CAP = 54
KVM_CAP_XSAVE = 55
KVM_CAP_XCRS = 56
KVM_CAP_PPC_GET_PVINFO = 57
KVM_CAP_PPC_IRQ_LEVEL = 58
KVM_CAP_ASYNC_PF = 59
KVM_CAP_TSC_CONTROL = 60
KVM_CAP_GET_TSC_KHZ = 61
KVM_CAP_PPC_BOOKE_SREGS = 62
KVM_CAP_SPAPR_TCE = 63
KVM_CAP_PPC_SMT = 64
KVM_CAP_PPC_RMA = 65
KVM_CAP_MAX_VCPUS = 66
KVM_CAP_PPC_HIOR = 67
KVM_CAP_PPC_PAPR = 68
KVM_CAP_SW_TLB = 69
KVM_CAP_ONE_REG = 70
KVM_CAP_S390_GMAP = 71
KVM_CAP_TSC_DEADLINE_TIMER = 72
KVM_CAP_S390_UCONTROL = 73
KVM_CAP_SYNC_REGS = 74
KVM_CAP_PCI_2_3 = 75  # legacy assignment: interrupts masked the PCI 2.3 way
KVM_CAP_KVMCLOCK_CTRL = 76
KVM_CAP_SIGNAL_MSI = 77
KVM_CAP_PPC_GET_SMMU_INFO = 78
KVM_CAP_S390_COW = 79
KVM_CAP_PPC_ALLOC_HTAB = 80
KVM_CAP_READONLY_MEM = 81
KVM_CAP_IRQFD_RESAMPLE = 82
KVM_CAP_PPC_BOOKE_WATCHDOG = 83
KVM_CAP_PPC_HTAB_FD = 84
KVM_CAP_S390_CSS_SUPPORT = 85
KVM_CAP_PPC_EPR = 86
KVM_CAP_ARM_PSCI = 87
KVM_CAP_ARM_SET_DEVICE_ADDR = 88
KVM_CAP_DEVICE_CTRL = 89
KVM_CAP_IRQ_MPIC = 90
KVM_CAP_PPC_RTAS = 91
KVM_CAP_IRQ_XICS = 92
KVM_CAP_ARM_EL1_32BIT = 93
KVM_CAP_SPAPR_MULTITCE = 94
KVM_CAP_EXT_EMUL_CPUID = 95
KVM_CAP_HYPERV_TIME = 96
KVM_CAP_IOAPIC_POLARITY_IGNORED = 97
KVM_CAP_ENABLE_CAP_VM = 98
KVM_CAP_S390_IRQCHIP = 99
KVM_CAP_IOEVENTFD_NO_LENGTH = 100
KVM_CAP_VM_ATTRIBUTES = 101
KVM_CAP_ARM_PSCI_0_2 = 102
KVM_CAP_PPC_FIXUP_HCALL = 103
KVM_CAP_PPC_ENABLE_HCALL = 104
KVM_CAP_CHECK_EXTENSION_VM = 105
KVM_CAP_S390_USER_SIGP = 106
KVM_CAP_S390_VECTOR_REGISTERS = 107
KVM_CAP_S390_MEM_OP = 108
KVM_CAP_S390_USER_STSI = 109
KVM_CAP_S390_SKEYS = 110
KVM_CAP_MIPS_FPU = 111
KVM_CAP_MIPS_MSA = 112
KVM_CAP_S390_INJECT_IRQ = 113
KVM_CAP_S390_IRQ_STATE = 114
KVM_CAP_PPC_HWRNG = 115
KVM_CAP_DISABLE_QUIRKS = 116
KVM_CAP_X86_SMM = 117
KVM_CAP_MULTI_ADDRESS_SPACE = 118
KVM_CAP_GUEST_DEBUG_HW_BPS = 119
KVM_CAP_GUEST_DEBUG_HW_WPS = 120
KVM_CAP_SPLIT_IRQCHIP = 121
KVM_CAP_IOEVENTFD_ANY_LENGTH = 122
KVM_CAP_HYPERV_SYNIC = 123
KVM_CAP_S390_RI = 124
KVM_CAP_SPAPR_TCE_64 = 125
KVM_CAP_ARM_PMU_V3 = 126
KVM_CAP_VCPU_ATTRIBUTES = 127
KVM_CAP_MAX_VCPU_ID = 128
KVM_CAP_X2APIC_API = 129
KVM_CAP_S390_USER_INSTR0 = 130
KVM_CAP_MSI_DEVID = 131
KVM_CAP_PPC_HTM = 132
KVM_CAP_SPAPR_RESIZE_HPT = 133
KVM_CAP_PPC_MMU_RADIX = 134
KVM_CAP_PPC_MMU_HASH_V3 = 135
KVM_CAP_IMMEDIATE_EXIT = 136
KVM_CAP_MIPS_VZ = 137
KVM_CAP_MIPS_TE = 138
KVM_CAP_MIPS_64BIT = 139
KVM_CAP_S390_GS = 140
KVM_CAP_S390_AIS = 141
KVM_CAP_SPAPR_TCE_VFIO = 142
KVM_CAP_X86_DISABLE_EXITS = 143
KVM_CAP_ARM_USER_IRQ = 144
KVM_CAP_S390_CMMA_MIGRATION = 145
KVM_CAP_PPC_FWNMI = 146
KVM_CAP_PPC_SMT_POSSIBLE = 147
KVM_CAP_HYPERV_SYNIC2 = 148
KVM_CAP_HYPERV_VP_INDEX = 149
KVM_CAP_S390_AIS_MIGRATION = 150
KVM_CAP_PPC_GET_CPU_CHAR = 151
KVM_CAP_S390_BPB = 152
KVM_CAP_GET_MSR_FEATURES = 153
KVM_CAP_HYPERV_EVENTFD = 154
KVM_CAP_HYPERV_TLBFLUSH = 155
KVM_CAP_S390_HPAGE_1M = 156
KVM_CAP_NESTED_STATE = 157
KVM_CAP_ARM_INJECT_SERROR_ESR = 158
KVM_CAP_MSR_PLATFORM_INFO = 159
KVM_CAP_PPC_NESTED_HV = 160
KVM_CAP_HYPERV_SEND_IPI = 161
KVM_CAP_COALESCED_PIO = 162
KVM_CAP_HYPERV_ENLIGHTENED_VMCS = 163
KVM_CAP_EXCEPTION_PAYLOAD = 164
KVM_CAP_ARM_VM_IPA_SIZE = 165
KVM_CAP_MANUAL_DIRTY_LOG_PROTECT = 166
KVM_CAP_HYPERV_CPUID = 167
KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 = 168
KVM_CAP_PPC_IRQ_XIVE = 169
KVM_CAP_ARM_SVE = 170
KVM_CAP_ARM_PTRAUTH_ADDRESS = 171
KVM_CAP_ARM_PTRAUTH_GENERIC = 172
KVM_CAP_PMU_EVENT_FILTER = 173
KVM_CAP_ARM_IRQ_LINE_LAYOUT_2 = 174
KVM_CAP_HYPERV_DIRECT_TLBFLUSH = 175
KVM_CAP_PPC_GUEST_DEBUG_SSTEP = 176
KVM_CAP_ARM_NISV_TO_USER = 177
KVM_CAP_ARM_INJECT_EXT_DABT = 178
KVM_CAP_S390_VCPU_RESETS = 179
KVM_CAP_S390_PROTECTED = 180
KVM_CAP_PPC_SECURE_GUEST = 181
KVM_CAP_HALT_POLL = 182
KVM_CAP_ASYNC_PF_INT = 183
KVM_CAP_LAST_CPU = 184
KVM_CAP_SMALLER_MAXPHYADDR = 185
KVM_CAP_S390_DIAG318 = 186
KVM_CAP_STEAL_TIME = 187
KVM_CAP_X86_USER_SPACE_MSR = 188
KVM_CAP_X86_MSR_FILTER = 189
KVM_CAP_ENFORCE_PV_FEATURE_CPUID = 190
KVM_CAP_SYS_HYPERV_CPUID = 191
KVM_CAP_DIRTY_LOG_RING = 192
KVM_CAP_X86_BUS_LOCK_EXIT = 193
KVM_CAP_PPC_DAWR1 = 194
KVM_CAP_SET_GUEST_DEBUG2 = 195
KVM_CAP_SGX_ATTRIBUTE = 196
KVM_CAP_VM_COPY_ENC_CONTEXT_FROM = 197
KVM_CAP_PTP_KVM = 198
KVM_CAP_HYPERV_ENFORCE_CPUID = 199
KVM_CAP_SREGS2 = 200
KVM_CAP_EXIT_HYPERCALL = 201
KVM_CAP_PPC_RPT_INVALIDATE = 202
KVM_CAP_BINARY_STATS_FD = 203
KVM_CAP_EXIT_ON_EMULATION_FAILURE = 204
KVM_CAP_ARM_MTE = 205
KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM = 206
KVM_CAP_VM_GPA_BITS = 207
KVM_CAP_XSAVE2 = 208
KVM_CAP_SYS_ATTRIBUTES = 209
KVM_CAP_PPC_AIL_MODE_3 = 210
KVM_CAP_S390_MEM_OP_EXTENSION = 211
KVM_CAP_PMU_CAPABILITY = 212
KVM_CAP_DISABLE_QUIRKS2 = 213
KVM_CAP_VM_TSC_CONTROL = 214
KVM_CAP_SYSTEM_EVENT_DATA = 215
KVM_CAP_ARM_SYSTEM_SUSPEND = 216
KVM_CAP_S390_PROTECTED_DUMP = 217
KVM_CAP_X86_TRIPLE_FAULT_EVENT = 218
KVM_CAP_X86_NOTIFY_VMEXIT = 219
KVM_CAP_VM_DISABLE_NX_HUGE_PAGES = 220
KVM_CAP_S390_ZPCI_OP = 221
KVM_CAP_S390_CPU_TOPOLOGY = 222
KVM_CAP_DIRTY_LOG_RING_ACQ_REL = 223
KVM_CAP_S390_PROTECTED_ASYNC_DISABLE = 224
KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP = 225
KVM_CAP_PMU_EVENT_MASKED_EVENTS = 226
KVM_CAP_COUNTER_OFFSET = 227
KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE = 228
KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES = 229
KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES = 230
KVM_CAP_USER_MEMORY2 = 231
KVM_CAP_MEMORY_FAULT_INFO = 232
KVM_CAP_MEMORY_ATTRIBUTES = 233
KVM_CAP_GUEST_MEMFD = 234
KVM_CAP_VM_TYPES = 235
KVM_CAP_PRE_FAULT_MEMORY = 236
KVM_CAP_X86_APIC_BUS_CYCLES_NS = 237
KVM_CAP_X86_GUEST_MODE = 238

# ---- Devices inside a VM


class kvm_create_device(Struct):
    """Argument of KVM_CREATE_DEVICE."""

    _fields_ = (
        ("type", ctypes.c_uint32),  # KVM_DEV_TYPE_*
        ("fd", ctypes.c_uint32),  # answered
        ("flags", ctypes.c_uint32),  # KVM_CREATE_DEVICE_TEST
    )


KVM_CREATE_DEVICE_TEST = 1  # ask only whether the type exists


class kvm_device_attr(Struct):
    """Argument of KVM_SET_DEVICE_ATTR and its two companions."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("attr", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),  # address of what the attribute holds
    )


KVM_CREATE_DEVICE = iowr(KVMIO, 0xE0, kvm_create_device)
KVM_SET_DEVICE_ATTR = iow(KVMIO, 0xE1, kvm_device_attr)
KVM_GET_DEVICE_ATTR = iow(KVMIO, 0xE2, kvm_device_attr)  # encoded as a write, although it reads
KVM_HAS_DEVICE_ATTR = iow(KVMIO, 0xE3, kvm_device_attr)

KVM_DEV_TYPE_FSL_MPIC_20 = 1
KVM_DEV_TYPE_FSL_MPIC_42 = 2
KVM_DEV_TYPE_XICS = 3
KVM_DEV_TYPE_VFIO = 4
KVM_DEV_TYPE_ARM_VGIC_V2 = 5
KVM_DEV_TYPE_FLIC = 6
KVM_DEV_TYPE_ARM_VGIC_V3 = 7
KVM_DEV_TYPE_ARM_VGIC_ITS = 8
KVM_DEV_TYPE_XIVE = 9
KVM_DEV_TYPE_ARM_PV_TIME = 10
KVM_DEV_TYPE_RISCV_AIA = 11
KVM_DEV_TYPE_MAX = 12

# The device of type VFIO: one attribute group, once named after groups and now after files.
KVM_DEV_VFIO_FILE = 1

KVM_DEV_VFIO_FILE_ADD = 1
KVM_DEV_VFIO_FILE_DEL = 2
KVM_DEV_VFIO_GROUP = KVM_DEV_VFIO_FILE
KVM_DEV_VFIO_GROUP_ADD = KVM_DEV_VFIO_FILE_ADD
KVM_DEV_VFIO_GROUP_DEL = KVM_DEV_VFIO_FILE_DEL
KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE = 3


class kvm_vfio_spapr_tce(Struct):
    """Argument of KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE."""

    _fields_ = (
        ("groupfd", ctypes.c_int32),
        ("tablefd", ctypes.c_int32),
    )


# ---- POWER: TCE tables and the guest's MMU


class kvm_create_spapr_tce(Struct):
    """Argument of KVM_CREATE_SPAPR_TCE; told from the other by its size alone."""

    _fields_ = (
        ("liobn", ctypes.c_uint64),
        ("window_size", ctypes.c_uint32),  # in bytes
    )


class kvm_create_spapr_tce_64(Struct):
    """Argument of KVM_CREATE_SPAPR_TCE_64."""

    _fields_ = (
        ("liobn", ctypes.c_uint64),
        ("page_shift", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),  # in pages of page_shift
        ("size", ctypes.c_uint64),  # in pages of page_shift
    )


KVM_CREATE_SPAPR_TCE = iow(KVMIO, 0xA8, kvm_create_spapr_tce)
KVM_CREATE_SPAPR_TCE_64 = iow(KVMIO, 0xA8, kvm_create_spapr_tce_64)


class kvm_ppc_mmuv3_cfg(Struct):
    """Argument of KVM_PPC_CONFIGURE_V3_MMU."""

    _fields_ = (
        ("flags", ctypes.c_uint64),  # KVM_PPC_MMUV3_*
        ("process_table", ctypes.c_uint64),
    )


KVM_PPC_MMUV3_RADIX = 1
KVM_PPC_MMUV3_GTSE = 2

KVM_PPC_CONFIGURE_V3_MMU = iow(KVMIO, 0xAF, kvm_ppc_mmuv3_cfg)
KVM_PPC_GET_PVINFO = iow(KVMIO, 0xA1, 128)
KVM_PPC_GET_SMMU_INFO = ior(KVMIO, 0xA6, 592)
KVM_PPC_ALLOCATE_HTAB = iowr(KVMIO, 0xA7, ctypes.c_uint32)
KVM_ALLOCATE_RMA = ior(KVMIO, 0xA9, 8)
KVM_PPC_GET_HTAB_FD = iow(KVMIO, 0xAA, 32)
KVM_PPC_RTAS_DEFINE_TOKEN = iow(KVMIO, 0xAC, 128)
KVM_PPC_RESIZE_HPT_PREPARE = ior(KVMIO, 0xAD, 16)
KVM_PPC_RESIZE_HPT_COMMIT = ior(KVMIO, 0xAE, 16)
KVM_PPC_GET_RMMU_INFO = iow(KVMIO, 0xB0, 96)
KVM_PPC_GET_CPU_CHAR = ior(KVMIO, 0xB1, 32)
KVM_PPC_SVM_OFF = io(KVMIO, 0xB3)

# ---- Interrupts


class _KvmIrqLevelUnion(Union):
    _fields_ = (
        ("irq", ctypes.c_uint32),
        ("status", ctypes.c_int32),  # answered by KVM_IRQ_LINE_STATUS
    )


class kvm_irq_level(Struct):
    """Argument of KVM_IRQ_LINE."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("_union", _KvmIrqLevelUnion),
        ("level", ctypes.c_uint32),
    )


class kvm_irqchip(Struct):
    """chip: the state of one chip, up to 512 bytes."""

    _fields_ = (
        ("chip_id", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("chip", array(ctypes.c_uint8, 512)),
    )


class kvm_pit_config(Struct):
    _fields_ = (
        ("flags", ctypes.c_uint32),  # KVM_PIT_SPEAKER_DUMMY
        ("pad", array(ctypes.c_uint32, 15)),
    )


KVM_PIT_SPEAKER_DUMMY = 1

KVM_CREATE_IRQCHIP = io(KVMIO, 0x60)
KVM_IRQ_LINE = iow(KVMIO, 0x61, kvm_irq_level)
KVM_GET_IRQCHIP = iowr(KVMIO, 0x62, kvm_irqchip)
KVM_SET_IRQCHIP = ior(KVMIO, 0x63, kvm_irqchip)  # encoded as a read, although it writes
KVM_CREATE_PIT = io(KVMIO, 0x64)
KVM_GET_PIT = iowr(KVMIO, 0x65, 72)
KVM_SET_PIT = ior(KVMIO, 0x66, 72)
KVM_IRQ_LINE_STATUS = iowr(KVMIO, 0x67, kvm_irq_level)
KVM_REINJECT_CONTROL = io(KVMIO, 0x71)
KVM_CREATE_PIT2 = iow(KVMIO, 0x77, kvm_pit_config)
KVM_GET_PIT2 = ior(KVMIO, 0x9F, 112)
KVM_SET_PIT2 = iow(KVMIO, 0xA0, 112)


class kvm_irq_routing_irqchip(Struct):
    _fields_ = (
        ("irqchip", ctypes.c_uint32),
        ("pin", ctypes.c_uint32),
    )


class _KvmIrqRoutingMsiUnion(Union):
    _fields_ = (
        ("pad", ctypes.c_uint32),
        ("devid", ctypes.c_uint32),
    )


class kvm_irq_routing_msi(Struct):
    _anonymous_ = ("_union",)
    _fields_ = (
        ("address_lo", ctypes.c_uint32),
        ("address_hi", ctypes.c_uint32),
        ("data", ctypes.c_uint32),
        ("_union", _KvmIrqRoutingMsiUnion),
    )


class kvm_irq_routing_s390_adapter(Struct):
    _fields_ = (
        ("ind_addr", ctypes.c_uint64),
        ("summary_addr", ctypes.c_uint64),
        ("ind_offset", ctypes.c_uint64),
        ("summary_offset", ctypes.c_uint32),
        ("adapter_id", ctypes.c_uint32),
    )


class kvm_irq_routing_hv_sint(Struct):
    _fields_ = (
        ("vcpu", ctypes.c_uint32),
        ("sint", ctypes.c_uint32),
    )


class kvm_irq_routing_xen_evtchn(Struct):
    _fields_ = (
        ("port", ctypes.c_uint32),
        ("vcpu", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    )


KVM_IRQ_ROUTING_IRQCHIP = 1
KVM_IRQ_ROUTING_MSI = 2
KVM_IRQ_ROUTING_S390_ADAPTER = 3
KVM_IRQ_ROUTING_HV_SINT = 4
KVM_IRQ_ROUTING_XEN_EVTCHN = 5
KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL = 0xFFFFFFFF


class _KvmIrqRoutingEntryU(Union):
    _fields_ = (
        ("irqchip", kvm_irq_routing_irqchip),
        ("msi", kvm_irq_routing_msi),
        ("adapter", kvm_irq_routing_s390_adapter),
        ("hv_sint", kvm_irq_routing_hv_sint),
        ("xen_evtchn", kvm_irq_routing_xen_evtchn),
        ("pad", array(ctypes.c_uint32, 8)),
    )


class kvm_irq_routing_entry(Struct):
    """type says which member of u counts."""

    _fields_ = (
        ("gsi", ctypes.c_uint32),
        ("type", ctypes.c_uint32),  # KVM_IRQ_ROUTING_*
        ("flags", ctypes.c_uint32),  # KVM_MSI_VALID_DEVID
        ("pad", ctypes.c_uint32),
        ("u", _KvmIrqRoutingEntryU),
    )


class kvm_irq_routing(Struct):
    """Argument of KVM_SET_GSI_ROUTING. Tail: nr times kvm_irq_routing_entry, from byte 8."""

    _fields_ = (
        ("nr", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


KVM_SET_GSI_ROUTING = iow(KVMIO, 0x6A, kvm_irq_routing)


class kvm_irqfd(Struct):
    """Argument of KVM_IRQFD."""

    _fields_ = (
        ("fd", ctypes.c_uint32),
        ("gsi", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # KVM_IRQFD_FLAG_*
        ("resamplefd", ctypes.c_uint32),
        ("pad", array(ctypes.c_uint8, 16)),
    )


KVM_IRQFD_FLAG_DEASSIGN = 1 << 0
KVM_IRQFD_FLAG_RESAMPLE = 1 << 1

KVM_IRQFD = iow(KVMIO, 0x76, kvm_irqfd)


class kvm_msi(Struct):
    """Argument of KVM_SIGNAL_MSI."""

    _fields_ = (
        ("address_lo", ctypes.c_uint32),
        ("address_hi", ctypes.c_uint32),
        ("data", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # KVM_MSI_VALID_DEVID
        ("devid", ctypes.c_uint32),
        ("pad", array(ctypes.c_uint8, 12)),
    )


KVM_MSI_VALID_DEVID = 1 << 0

KVM_SIGNAL_MSI = iow(KVMIO, 0xA5, kvm_msi)

# ---- Writes of the guest


class kvm_ioeventfd(Struct):
    """Argument of KVM_IOEVENTFD."""

    _fields_ = (
        ("datamatch", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
        ("len", ctypes.c_uint32),
        ("fd", ctypes.c_int32),
        ("flags", ctypes.c_uint32),  # KVM_IOEVENTFD_FLAG_*
        ("pad", array(ctypes.c_uint8, 36)),
    )


KVM_IOEVENTFD_FLAG_DATAMATCH = 1 << 0
KVM_IOEVENTFD_FLAG_PIO = 1 << 1
KVM_IOEVENTFD_FLAG_DEASSIGN = 1 << 2
KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY = 1 << 3
KVM_IOEVENTFD_VALID_FLAG_MASK = (1 << 5) - 1  # bit 4 is valid, without a name of its own

KVM_IOEVENTFD = iow(KVMIO, 0x79, kvm_ioeventfd)


class _KvmCoalescedMmioZoneUnion(Union):
    _fields_ = (
        ("pad", ctypes.c_uint32),
        ("pio", ctypes.c_uint32),
    )


class kvm_coalesced_mmio_zone(Struct):
    _anonymous_ = ("_union",)
    _fields_ = (
        ("addr", ctypes.c_uint64),
        ("size", ctypes.c_uint32),
        ("_union", _KvmCoalescedMmioZoneUnion),
    )


class _KvmCoalescedMmioUnion(Union):
    _fields_ = (
        ("pad", ctypes.c_uint32),
        ("pio", ctypes.c_uint32),
    )


class kvm_coalesced_mmio(Struct):
    """An entry of the ring."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("phys_addr", ctypes.c_uint64),
        ("len", ctypes.c_uint32),
        ("_union", _KvmCoalescedMmioUnion),
        ("data", array(ctypes.c_uint8, 8)),
    )


class kvm_coalesced_mmio_ring(Struct):
    """Tail: kvm_coalesced_mmio to the end of the page, from byte 8."""

    _fields_ = (
        ("first", ctypes.c_uint32),
        ("last", ctypes.c_uint32),
    )


KVM_REGISTER_COALESCED_MMIO = iow(KVMIO, 0x67, kvm_coalesced_mmio_zone)
KVM_UNREGISTER_COALESCED_MMIO = iow(KVMIO, 0x68, kvm_coalesced_mmio_zone)

# ---- Clock of a VM


class kvm_clock_data(Struct):
    _fields_ = (
        ("clock", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),  # KVM_CLOCK_*
        ("pad0", ctypes.c_uint32),
        ("realtime", ctypes.c_uint64),
        ("host_tsc", ctypes.c_uint64),
        ("pad", array(ctypes.c_uint32, 4)),
    )


KVM_CLOCK_TSC_STABLE = 2
KVM_CLOCK_REALTIME = 1 << 2
KVM_CLOCK_HOST_TSC = 1 << 3

KVM_SET_CLOCK = iow(KVMIO, 0x7B, kvm_clock_data)
KVM_GET_CLOCK = ior(KVMIO, 0x7C, kvm_clock_data)

# ---- A vcpu

KVM_CREATE_VCPU = io(KVMIO, 0x41)
KVM_SET_BOOT_CPU_ID = io(KVMIO, 0x78)
KVM_RUN = io(KVMIO, 0x80)


class _KvmRunHw(Struct):
    _fields_ = (("hardware_exit_reason", ctypes.c_uint64),)


class _KvmRunFailEntry(Struct):
    _fields_ = (
        ("hardware_entry_failure_reason", ctypes.c_uint64),
        ("cpu", ctypes.c_uint32),
    )


class _KvmRunEx(Struct):
    _fields_ = (
        ("exception", ctypes.c_uint32),
        ("error_code", ctypes.c_uint32),
    )


class _KvmRunIo(Struct):
    _fields_ = (
        ("direction", ctypes.c_uint8),  # KVM_EXIT_IO_IN, KVM_EXIT_IO_OUT
        ("size", ctypes.c_uint8),
        ("port", ctypes.c_uint16),
        ("count", ctypes.c_uint32),
        ("data_offset", ctypes.c_uint64),  # from the start of kvm_run
    )


class _KvmRunMmio(Struct):
    _fields_ = (
        ("phys_addr", ctypes.c_uint64),
        ("data", array(ctypes.c_uint8, 8)),
        ("len", ctypes.c_uint32),
        ("is_write", ctypes.c_uint8),
    )


class _KvmRunHypercall(Struct):
    _fields_ = (
        ("nr", ctypes.c_uint64),
        ("args", array(ctypes.c_uint64, 6)),
        ("ret", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class _KvmRunTprAccess(Struct):
    _fields_ = (
        ("rip", ctypes.c_uint64),
        ("is_write", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


class _KvmRunDcr(Struct):
    _fields_ = (
        ("dcrn", ctypes.c_uint32),
        ("data", ctypes.c_uint32),
        ("is_write", ctypes.c_uint8),
    )


class _KvmRunInternal(Struct):
    _fields_ = (
        ("suberror", ctypes.c_uint32),  # KVM_INTERNAL_ERROR_*
        ("ndata", ctypes.c_uint32),
        ("data", array(ctypes.c_uint64, 16)),
    )


class _KvmRunOsi(Struct):
    _fields_ = (("gprs", array(ctypes.c_uint64, 32)),)


class _KvmRunPaprHcall(Struct):
    _fields_ = (
        ("nr", ctypes.c_uint64),
        ("ret", ctypes.c_uint64),
        ("args", array(ctypes.c_uint64, 9)),
    )


class _KvmRunEpr(Struct):
    _fields_ = (("epr", ctypes.c_uint32),)


class _KvmRunSystemEvent(Struct):
    _fields_ = (
        ("type", ctypes.c_uint32),  # KVM_SYSTEM_EVENT_*
        ("ndata", ctypes.c_uint32),
        ("data", array(ctypes.c_uint64, 16)),
    )


class _KvmRunEoi(Struct):
    _fields_ = (("vector", ctypes.c_uint8),)


class _KvmRunMsr(Struct):
    _fields_ = (
        ("error", ctypes.c_uint8),
        ("pad", array(ctypes.c_uint8, 7)),
        ("reason", ctypes.c_uint32),  # KVM_MSR_EXIT_REASON_*
        ("index", ctypes.c_uint32),
        ("data", ctypes.c_uint64),
    )


class _KvmRunNotify(Struct):
    _fields_ = (
        ("flags", ctypes.c_uint32),  # KVM_NOTIFY_CONTEXT_INVALID
    )


class _KvmRunMemoryFault(Struct):
    _fields_ = (
        ("flags", ctypes.c_uint64),  # KVM_MEMORY_EXIT_FLAG_PRIVATE
        ("gpa", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )


class _KvmRunUnion(Union):
    _fields_ = (
        ("hw", _KvmRunHw),
        ("fail_entry", _KvmRunFailEntry),
        ("ex", _KvmRunEx),
        ("io", _KvmRunIo),
        ("mmio", _KvmRunMmio),
        ("hypercall", _KvmRunHypercall),
        ("tpr_access", _KvmRunTprAccess),
        ("dcr", _KvmRunDcr),
        ("internal", _KvmRunInternal),
        ("osi", _KvmRunOsi),
        ("papr_hcall", _KvmRunPaprHcall),
        ("epr", _KvmRunEpr),
        ("system_event", _KvmRunSystemEvent),
        ("eoi", _KvmRunEoi),
        ("msr", _KvmRunMsr),
        ("notify", _KvmRunNotify),
        ("memory_fault", _KvmRunMemoryFault),
        ("padding", array(ctypes.c_uint8, 256)),
    )


class kvm_run(Struct):
    """Mapped from a vcpu.

    Exits that only other architectures or Hyper-V and Xen guests have are left out.
    """

    _anonymous_ = ("_union",)
    _fields_ = (
        ("request_interrupt_window", ctypes.c_uint8),
        ("immediate_exit", ctypes.c_uint8),
        ("padding1", array(ctypes.c_uint8, 6)),
        ("exit_reason", ctypes.c_uint32),  # KVM_EXIT_*
        ("ready_for_interrupt_injection", ctypes.c_uint8),
        ("if_flag", ctypes.c_uint8),
        ("flags", ctypes.c_uint16),
        ("cr8", ctypes.c_uint64),
        ("apic_base", ctypes.c_uint64),
        ("_union", _KvmRunUnion),
        ("kvm_valid_regs", ctypes.c_uint64),
        ("kvm_dirty_regs", ctypes.c_uint64),
        ("s", array(ctypes.c_uint8, 2048)),  # registers of the architecture
    )


SYNC_REGS_SIZE_BYTES = 2048

KVM_EXIT_IO_IN = 0
KVM_EXIT_IO_OUT = 1

KVM_INTERNAL_ERROR_EMULATION = 1
KVM_INTERNAL_ERROR_SIMUL_EX = 2
KVM_INTERNAL_ERROR_DELIVERY_EV = 3
KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON = 4

KVM_SYSTEM_EVENT_SHUTDOWN = 1
KVM_SYSTEM_EVENT_RESET = 2
KVM_SYSTEM_EVENT_CRASH = 3
KVM_SYSTEM_EVENT_WAKEUP = 4
KVM_SYSTEM_EVENT_SUSPEND = 5
KVM_SYSTEM_EVENT_SEV_TERM = 6

KVM_MSR_EXIT_REASON_INVAL = 1 << 0
KVM_MSR_EXIT_REASON_UNKNOWN = 1 << 1
KVM_MSR_EXIT_REASON_FILTER = 1 << 2

KVM_NOTIFY_CONTEXT_INVALID = 1 << 0
KVM_MEMORY_EXIT_FLAG_PRIVATE = 1 << 3

# Why KVM_RUN returned.
KVM_EXIT_UNKNOWN = 0
KVM_EXIT_EXCEPTION = 1
KVM_EXIT_IO = 2
KVM_EXIT_HYPERCALL = 3
KVM_EXIT_DEBUG = 4
KVM_EXIT_HLT = 5
KVM_EXIT_MMIO = 6
KVM_EXIT_IRQ_WINDOW_OPEN = 7
KVM_EXIT_SHUTDOWN = 8
KVM_EXIT_FAIL_ENTRY = 9
KVM_EXIT_INTR = 10
KVM_EXIT_SET_TPR = 11
KVM_EXIT_TPR_ACCESS = 12
KVM_EXIT_S390_SIEIC = 13
KVM_EXIT_S390_RESET = 14
KVM_EXIT_DCR = 15
KVM_EXIT_NMI = 16
KVM_EXIT_INTERNAL_ERROR = 17
KVM_EXIT_OSI = 18
KVM_EXIT_PAPR_HCALL = 19
KVM_EXIT_S390_UCONTROL = 20
KVM_EXIT_WATCHDOG = 21
KVM_EXIT_S390_TSCH = 22
KVM_EXIT_EPR = 23
KVM_EXIT_SYSTEM_EVENT = 24
KVM_EXIT_S390_STSI = 25
KVM_EXIT_IOAPIC_EOI = 26
KVM_EXIT_HYPERV = 27
KVM_EXIT_ARM_NISV = 28
KVM_EXIT_X86_RDMSR = 29
KVM_EXIT_X86_WRMSR = 30
KVM_EXIT_DIRTY_RING_FULL = 31
KVM_EXIT_AP_RESET_HOLD = 32
KVM_EXIT_X86_BUS_LOCK = 33
KVM_EXIT_XEN = 34
KVM_EXIT_RISCV_SBI = 35
KVM_EXIT_RISCV_CSR = 36
KVM_EXIT_NOTIFY = 37
KVM_EXIT_LOONGARCH_IOCSR = 38
KVM_EXIT_MEMORY_FAULT = 39

# ---- State of a vcpu

# The structs of the first group differ between x86 and POWER, and with them the numbers: two sizes,
# x86's and POWER's. Those of the second group exist on x86 alone.

KVM_GET_REGS = ior(KVMIO, 0x81, 144, power_size=392)
KVM_SET_REGS = iow(KVMIO, 0x82, 144, power_size=392)
KVM_GET_SREGS = ior(KVMIO, 0x83, 312, power_size=1232)
KVM_SET_SREGS = iow(KVMIO, 0x84, 312, power_size=1232)
KVM_GET_FPU = ior(KVMIO, 0x8C, 416, power_size=256)
KVM_SET_FPU = iow(KVMIO, 0x8D, 416, power_size=256)
KVM_SET_GUEST_DEBUG = iow(KVMIO, 0x9B, 72, power_size=264)

KVM_GET_MSR_INDEX_LIST = iowr(KVMIO, 0x02, 4)
KVM_GET_SUPPORTED_CPUID = iowr(KVMIO, 0x05, 8)
KVM_GET_EMULATED_CPUID = iowr(KVMIO, 0x09, 8)
KVM_GET_MSR_FEATURE_INDEX_LIST = iowr(KVMIO, 0x0A, 4)
KVM_GET_MSRS = iowr(KVMIO, 0x88, 8)
KVM_SET_MSRS = iow(KVMIO, 0x89, 8)
KVM_SET_CPUID = iow(KVMIO, 0x8A, 8)
KVM_GET_LAPIC = ior(KVMIO, 0x8E, 1024)
KVM_SET_LAPIC = iow(KVMIO, 0x8F, 1024)
KVM_SET_CPUID2 = iow(KVMIO, 0x90, 8)
KVM_GET_CPUID2 = iowr(KVMIO, 0x91, 8)
KVM_X86_SETUP_MCE = iow(KVMIO, 0x9C, ctypes.c_uint64)
KVM_X86_GET_MCE_CAP_SUPPORTED = ior(KVMIO, 0x9D, ctypes.c_uint64)
KVM_X86_SET_MCE = iow(KVMIO, 0x9E, 64)
KVM_GET_VCPU_EVENTS = ior(KVMIO, 0x9F, 64)
KVM_SET_VCPU_EVENTS = iow(KVMIO, 0xA0, 64)
KVM_GET_DEBUGREGS = ior(KVMIO, 0xA1, 128)
KVM_SET_DEBUGREGS = iow(KVMIO, 0xA2, 128)
KVM_SET_TSC_KHZ = io(KVMIO, 0xA2)
KVM_GET_TSC_KHZ = io(KVMIO, 0xA3)
KVM_GET_XSAVE = ior(KVMIO, 0xA4, 4096)
KVM_SET_XSAVE = iow(KVMIO, 0xA5, 4096)
KVM_GET_XCRS = ior(KVMIO, 0xA6, 392)
KVM_SET_XCRS = iow(KVMIO, 0xA7, 392)
KVM_KVMCLOCK_CTRL = io(KVMIO, 0xAD)
KVM_SET_PMU_EVENT_FILTER = iow(KVMIO, 0xB2, 32)
KVM_SMI = io(KVMIO, 0xB7)
KVM_GET_NESTED_STATE = iowr(KVMIO, 0xBE, 128)
KVM_SET_NESTED_STATE = iow(KVMIO, 0xBF, 128)
KVM_X86_SET_MSR_FILTER = iow(KVMIO, 0xC6, 392)
KVM_GET_SREGS2 = ior(KVMIO, 0xCC, 320)
KVM_SET_SREGS2 = iow(KVMIO, 0xCD, 320)
KVM_GET_XSAVE2 = ior(KVMIO, 0xCF, 4096)

# ---- State of a vcpu, the same everywhere


class kvm_translation(Struct):
    _fields_ = (
        ("linear_address", ctypes.c_uint64),
        ("physical_address", ctypes.c_uint64),
        ("valid", ctypes.c_uint8),
        ("writeable", ctypes.c_uint8),
        ("usermode", ctypes.c_uint8),
        ("pad", array(ctypes.c_uint8, 5)),
    )


KVM_TRANSLATE = iowr(KVMIO, 0x85, kvm_translation)


class kvm_interrupt(Struct):
    _fields_ = (("irq", ctypes.c_uint32),)


KVM_INTERRUPT = iow(KVMIO, 0x86, kvm_interrupt)


class kvm_signal_mask(Struct):
    """Tail: len bytes of signal set, from byte 4."""

    _fields_ = (("len", ctypes.c_uint32),)


KVM_SET_SIGNAL_MASK = iow(KVMIO, 0x8B, kvm_signal_mask)


class kvm_tpr_access_ctl(Struct):
    _fields_ = (
        ("enabled", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("reserved", array(ctypes.c_uint32, 8)),
    )


KVM_TPR_ACCESS_REPORTING = iowr(KVMIO, 0x92, kvm_tpr_access_ctl)


class kvm_vapic_addr(Struct):
    _fields_ = (("vapic_addr", ctypes.c_uint64),)


KVM_SET_VAPIC_ADDR = iow(KVMIO, 0x93, kvm_vapic_addr)


class kvm_mp_state(Struct):
    _fields_ = (
        ("mp_state", ctypes.c_uint32),  # KVM_MP_STATE_*
    )


KVM_MP_STATE_RUNNABLE = 0
KVM_MP_STATE_UNINITIALIZED = 1
KVM_MP_STATE_INIT_RECEIVED = 2
KVM_MP_STATE_HALTED = 3
KVM_MP_STATE_SIPI_RECEIVED = 4
KVM_MP_STATE_STOPPED = 5
KVM_MP_STATE_CHECK_STOP = 6
KVM_MP_STATE_OPERATING = 7
KVM_MP_STATE_LOAD = 8
KVM_MP_STATE_AP_RESET_HOLD = 9
KVM_MP_STATE_SUSPENDED = 10

KVM_GET_MP_STATE = ior(KVMIO, 0x98, kvm_mp_state)
KVM_SET_MP_STATE = iow(KVMIO, 0x99, kvm_mp_state)
KVM_NMI = io(KVMIO, 0x9A)


class kvm_one_reg(Struct):
    _fields_ = (
        ("id", ctypes.c_uint64),  # KVM_REG_*
        ("addr", ctypes.c_uint64),
    )


KVM_GET_ONE_REG = iow(KVMIO, 0xAB, kvm_one_reg)
KVM_SET_ONE_REG = iow(KVMIO, 0xAC, kvm_one_reg)


class kvm_reg_list(Struct):
    """Tail: n times u64, from byte 8."""

    _fields_ = (("n", ctypes.c_uint64),)


KVM_GET_REG_LIST = iowr(KVMIO, 0xB0, kvm_reg_list)
KVM_GET_STATS_FD = io(KVMIO, 0xCE)


class kvm_enc_region(Struct):
    _fields_ = (
        ("addr", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )


KVM_MEMORY_ENCRYPT_OP = iowr(KVMIO, 0xBA, ctypes.c_uint64)
KVM_MEMORY_ENCRYPT_REG_REGION = ior(KVMIO, 0xBB, kvm_enc_region)
KVM_MEMORY_ENCRYPT_UNREG_REGION = ior(KVMIO, 0xBC, kvm_enc_region)

# The architecture and the size inside a register's id.
KVM_REG_ARCH_MASK = 0xFF00000000000000
KVM_REG_GENERIC = 0x0000000000000000
KVM_REG_PPC = 0x1000000000000000
KVM_REG_X86 = 0x2000000000000000
KVM_REG_IA64 = 0x3000000000000000
KVM_REG_ARM = 0x4000000000000000
KVM_REG_S390 = 0x5000000000000000
KVM_REG_ARM64 = 0x6000000000000000
KVM_REG_MIPS = 0x7000000000000000
KVM_REG_RISCV = 0x8000000000000000
KVM_REG_LOONGARCH = 0x9000000000000000
KVM_REG_SIZE_SHIFT = 52
KVM_REG_SIZE_MASK = 0x00F0000000000000
KVM_REG_SIZE_U8 = 0x0000000000000000
KVM_REG_SIZE_U16 = 0x0010000000000000
KVM_REG_SIZE_U32 = 0x0020000000000000
KVM_REG_SIZE_U64 = 0x0030000000000000
KVM_REG_SIZE_U128 = 0x0040000000000000
KVM_REG_SIZE_U256 = 0x0050000000000000
KVM_REG_SIZE_U512 = 0x0060000000000000
KVM_REG_SIZE_U1024 = 0x0070000000000000
KVM_REG_SIZE_U2048 = 0x0080000000000000

# ---- Legacy device assignment (x86, until 4.12)


class kvm_assigned_pci_dev(Struct):
    _fields_ = (
        ("assigned_dev_id", ctypes.c_uint32),
        ("busnr", ctypes.c_uint32),
        ("devfn", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # KVM_DEV_ASSIGN_*
        ("segnr", ctypes.c_uint32),
        ("reserved", array(ctypes.c_uint32, 11)),
    )


KVM_DEV_ASSIGN_ENABLE_IOMMU = 1 << 0
KVM_DEV_ASSIGN_PCI_2_3 = 1 << 1
KVM_DEV_ASSIGN_MASK_INTX = 1 << 2


class kvm_assigned_irq(Struct):
    _fields_ = (
        ("assigned_dev_id", ctypes.c_uint32),
        ("host_irq", ctypes.c_uint32),
        ("guest_irq", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # KVM_DEV_IRQ_*
        ("reserved", array(ctypes.c_uint32, 12)),
    )


KVM_DEV_IRQ_HOST_INTX = 1 << 0
KVM_DEV_IRQ_HOST_MSI = 1 << 1
KVM_DEV_IRQ_HOST_MSIX = 1 << 2
KVM_DEV_IRQ_GUEST_INTX = 1 << 8
KVM_DEV_IRQ_GUEST_MSI = 1 << 9
KVM_DEV_IRQ_GUEST_MSIX = 1 << 10
KVM_DEV_IRQ_HOST_MASK = 0x00FF
KVM_DEV_IRQ_GUEST_MASK = 0xFF00


class kvm_assigned_msix_nr(Struct):
    _fields_ = (
        ("assigned_dev_id", ctypes.c_uint32),
        ("entry_nr", ctypes.c_uint16),
        ("padding", ctypes.c_uint16),
    )


KVM_MAX_MSIX_PER_DEV = 256


class kvm_assigned_msix_entry(Struct):
    _fields_ = (
        ("assigned_dev_id", ctypes.c_uint32),
        ("gsi", ctypes.c_uint32),
        ("entry", ctypes.c_uint16),
        ("padding", array(ctypes.c_uint16, 3)),
    )


# Encoded as a read, although it writes.
KVM_ASSIGN_PCI_DEVICE = ior(KVMIO, 0x69, kvm_assigned_pci_dev)
# The first form, refused since the next one exists.
KVM_ASSIGN_IRQ = ior(KVMIO, 0x70, kvm_assigned_irq)
KVM_ASSIGN_DEV_IRQ = iow(KVMIO, 0x70, kvm_assigned_irq)
KVM_DEASSIGN_PCI_DEVICE = iow(KVMIO, 0x72, kvm_assigned_pci_dev)
KVM_ASSIGN_SET_MSIX_NR = iow(KVMIO, 0x73, kvm_assigned_msix_nr)
KVM_ASSIGN_SET_MSIX_ENTRY = iow(KVMIO, 0x74, kvm_assigned_msix_entry)
KVM_DEASSIGN_DEV_IRQ = iow(KVMIO, 0x75, kvm_assigned_irq)
KVM_ASSIGN_SET_INTX_MASK = iow(KVMIO, 0xA4, kvm_assigned_pci_dev)


__all__ = [name for name in globals() if name.startswith(("KVM", "kvm_", "SYNC_"))]
