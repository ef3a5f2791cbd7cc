// SPDX-License-Identifier: MIT
//
// The KVM user interface of Linux 6.12, as far as virtual machines with assigned devices use it,
// and the device assignment that KVM itself had until 4.12.
//
// Names, numbers and layouts are those of include/uapi/linux/kvm.h and, for POWER's TCE tables, of
// arch/powerpc/include/uapi/asm/kvm.h. Registers of the architectures have no struct here, only the
// sizes that their requests encode. A struct that ends in an array of open length stops before it.

#pragma once

#include <cstddef>
#include <cstdint>

#include "uapi/ioctl.h"

#if defined(KVM_API_VERSION)
#error "<linux/kvm.h> came first: its macros would replace the names of this header"
#endif

namespace kvmiommu::uapi {

// ---- System: /dev/kvm

inline constexpr std::uint32_t KVM_API_VERSION = 12;
inline constexpr std::uint32_t KVMIO = 0xae;

inline constexpr Request KVM_GET_API_VERSION = io(KVMIO, 0x00);
// The argument is the machine's kind; returns a descriptor.
inline constexpr Request KVM_CREATE_VM = io(KVMIO, 0x01);
inline constexpr Request KVM_CHECK_EXTENSION = io(KVMIO, 0x03);  // a KVM_CAP_*; also of a VM
inline constexpr Request KVM_GET_VCPU_MMAP_SIZE = io(KVMIO, 0x04);

inline constexpr std::uint32_t KVM_VM_PPC_HV = 1;
inline constexpr std::uint32_t KVM_VM_PPC_PR = 2;

// ---- Memory slots

// Argument of KVM_SET_MEMORY_REGION, which was refused for long and is not in 6.12's header.
struct kvm_memory_region {
    std::uint32_t slot;
    std::uint32_t flags;
    std::uint64_t guest_phys_addr;
    std::uint64_t memory_size;
};
static_assert(sizeof(kvm_memory_region) == 24 && offsetof(kvm_memory_region, flags) == 4 &&
              offsetof(kvm_memory_region, guest_phys_addr) == 8 &&
              offsetof(kvm_memory_region, memory_size) == 16);

// Argument of KVM_SET_USER_MEMORY_REGION; memory_size 0 deletes the slot.
struct kvm_userspace_memory_region {
    std::uint32_t slot;   // the address space in the high 16 bits
    std::uint32_t flags;  // KVM_MEM_*
    std::uint64_t guest_phys_addr;
    std::uint64_t memory_size;
    std::uint64_t userspace_addr;
};
static_assert(sizeof(kvm_userspace_memory_region) == 32 &&
              offsetof(kvm_userspace_memory_region, flags) == 4 &&
              offsetof(kvm_userspace_memory_region, guest_phys_addr) == 8 &&
              offsetof(kvm_userspace_memory_region, memory_size) == 16 &&
              offsetof(kvm_userspace_memory_region, userspace_addr) == 24);

// Argument of KVM_SET_USER_MEMORY_REGION2.
struct kvm_userspace_memory_region2 {
    std::uint32_t slot;
    std::uint32_t flags;  // KVM_MEM_*
    std::uint64_t guest_phys_addr;
    std::uint64_t memory_size;
    std::uint64_t userspace_addr;
    std::uint64_t guest_memfd_offset;
    std::uint32_t guest_memfd;
    std::uint32_t pad1;
    std::uint64_t pad2[14];
};
static_assert(sizeof(kvm_userspace_memory_region2) == 160 &&
              offsetof(kvm_userspace_memory_region2, flags) == 4 &&
              offsetof(kvm_userspace_memory_region2, guest_phys_addr) == 8 &&
              offsetof(kvm_userspace_memory_region2, memory_size) == 16 &&
              offsetof(kvm_userspace_memory_region2, userspace_addr) == 24 &&
              offsetof(kvm_userspace_memory_region2, guest_memfd_offset) == 32 &&
              offsetof(kvm_userspace_memory_region2, guest_memfd) == 40 &&
              offsetof(kvm_userspace_memory_region2, pad1) == 44 &&
              offsetof(kvm_userspace_memory_region2, pad2) == 48);

inline constexpr std::uint32_t KVM_MEM_LOG_DIRTY_PAGES = 1U << 0;
inline constexpr std::uint32_t KVM_MEM_READONLY = 1U << 1;
inline constexpr std::uint32_t KVM_MEM_GUEST_MEMFD = 1U << 2;

inline constexpr Request KVM_SET_MEMORY_REGION = iow<kvm_memory_region>(KVMIO, 0x40);
inline constexpr Request KVM_SET_NR_MMU_PAGES = io(KVMIO, 0x44);
inline constexpr Request KVM_GET_NR_MMU_PAGES = io(KVMIO, 0x45);
inline constexpr Request KVM_SET_USER_MEMORY_REGION = iow<kvm_userspace_memory_region>(KVMIO, 0x46);
inline constexpr Request KVM_SET_TSS_ADDR = io(KVMIO, 0x47);
inline constexpr Request KVM_SET_IDENTITY_MAP_ADDR = iow<std::uint64_t>(KVMIO, 0x48);
inline constexpr Request KVM_SET_USER_MEMORY_REGION2 =
    iow<kvm_userspace_memory_region2>(KVMIO, 0x49);

// Argument of KVM_SET_MEMORY_ATTRIBUTES.
struct kvm_memory_attributes {
    std::uint64_t address;
    std::uint64_t size;
    std::uint64_t attributes;  // KVM_MEMORY_ATTRIBUTE_PRIVATE
    std::uint64_t flags;
};
static_assert(sizeof(kvm_memory_attributes) == 32 && offsetof(kvm_memory_attributes, size) == 8 &&
              offsetof(kvm_memory_attributes, attributes) == 16 &&
              offsetof(kvm_memory_attributes, flags) == 24);

inline constexpr std::uint64_t KVM_MEMORY_ATTRIBUTE_PRIVATE = 1ULL << 3;

inline constexpr Request KVM_SET_MEMORY_ATTRIBUTES = iow<kvm_memory_attributes>(KVMIO, 0xd2);

struct kvm_create_guest_memfd {
    std::uint64_t size;
    std::uint64_t flags;
    std::uint64_t reserved[6];
};
static_assert(sizeof(kvm_create_guest_memfd) == 64 &&
              offsetof(kvm_create_guest_memfd, flags) == 8 &&
              offsetof(kvm_create_guest_memfd, reserved) == 16);

inline constexpr Request KVM_CREATE_GUEST_MEMFD = iowr<kvm_create_guest_memfd>(KVMIO, 0xd4);

struct kvm_pre_fault_memory {
    std::uint64_t gpa;
    std::uint64_t size;
    std::uint64_t flags;
    std::uint64_t padding[5];
};
static_assert(sizeof(kvm_pre_fault_memory) == 64 && offsetof(kvm_pre_fault_memory, size) == 8 &&
              offsetof(kvm_pre_fault_memory, flags) == 16 &&
              offsetof(kvm_pre_fault_memory, padding) == 24);

inline constexpr Request KVM_PRE_FAULT_MEMORY = iowr<kvm_pre_fault_memory>(KVMIO, 0xd5);

// ---- Dirty pages

// Argument of KVM_GET_DIRTY_LOG.
struct kvm_dirty_log {
    std::uint32_t slot;
    std::uint32_t padding1;
    union {
        std::uint64_t dirty_bitmap;  // address
        std::uint64_t padding2;
    };
};
static_assert(sizeof(kvm_dirty_log) == 16 && offsetof(kvm_dirty_log, padding1) == 4 &&
              offsetof(kvm_dirty_log, dirty_bitmap) == 8 && offsetof(kvm_dirty_log, padding2) == 8);

inline constexpr Request KVM_GET_DIRTY_LOG = iow<kvm_dirty_log>(KVMIO, 0x42);

struct kvm_clear_dirty_log {
    std::uint32_t slot;
    std::uint32_t num_pages;
    std::uint64_t first_page;
    union {
        std::uint64_t dirty_bitmap;  // address
        std::uint64_t padding2;
    };
};
static_assert(sizeof(kvm_clear_dirty_log) == 24 && offsetof(kvm_clear_dirty_log, num_pages) == 4 &&
              offsetof(kvm_clear_dirty_log, first_page) == 8 &&
              offsetof(kvm_clear_dirty_log, dirty_bitmap) == 16 &&
              offsetof(kvm_clear_dirty_log, padding2) == 16);

inline constexpr Request KVM_CLEAR_DIRTY_LOG = iowr<kvm_clear_dirty_log>(KVMIO, 0xc0);

inline constexpr std::uint32_t KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE = 1U << 0;
inline constexpr std::uint32_t KVM_DIRTY_LOG_INITIALLY_SET = 1U << 1;

// An entry of a vcpu's dirty ring.
struct kvm_dirty_gfn {
    std::uint32_t flags;  // KVM_DIRTY_GFN_F_*
    std::uint32_t slot;
    std::uint64_t offset;
};
static_assert(sizeof(kvm_dirty_gfn) == 16 && offsetof(kvm_dirty_gfn, slot) == 4 &&
              offsetof(kvm_dirty_gfn, offset) == 8);

inline constexpr std::uint32_t KVM_DIRTY_GFN_F_DIRTY = 1U << 0;
inline constexpr std::uint32_t KVM_DIRTY_GFN_F_RESET = 1U << 1;
inline constexpr std::uint32_t KVM_DIRTY_GFN_F_MASK = 0x3;

inline constexpr Request KVM_RESET_DIRTY_RINGS = io(KVMIO, 0xc7);

// ---- Capabilities

// Argument of KVM_ENABLE_CAP.
struct kvm_enable_cap {
    std::uint32_t cap;
    std::uint32_t flags;
    std::uint64_t args[4];
    std::uint8_t pad[64];
};
static_assert(sizeof(kvm_enable_cap) == 104 && offsetof(kvm_enable_cap, flags) == 4 &&
              offsetof(kvm_enable_cap, args) == 8 && offsetof(kvm_enable_cap, pad) == 40);

inline constexpr Request KVM_ENABLE_CAP = iow<kvm_enable_cap>(KVMIO, 0xa3);

inline constexpr std::uint32_t KVM_CAP_IRQCHIP = 0;
inline constexpr std::uint32_t KVM_CAP_HLT = 1;
inline constexpr std::uint32_t KVM_CAP_MMU_SHADOW_CACHE_CONTROL = 2;
inline constexpr std::uint32_t KVM_CAP_USER_MEMORY = 3;
inline constexpr std::uint32_t KVM_CAP_SET_TSS_ADDR = 4;
inline constexpr std::uint32_t KVM_CAP_VAPIC = 6;
inline constexpr std::uint32_t KVM_CAP_EXT_CPUID = 7;
inline constexpr std::uint32_t KVM_CAP_CLOCKSOURCE = 8;
inline constexpr std::uint32_t KVM_CAP_NR_VCPUS = 9;
inline constexpr std::uint32_t KVM_CAP_NR_MEMSLOTS = 10;
inline constexpr std::uint32_t KVM_CAP_PIT = 11;
inline constexpr std::uint32_t KVM_CAP_NOP_IO_DELAY = 12;
inline constexpr std::uint32_t KVM_CAP_PV_MMU = 13;
inline constexpr std::uint32_t KVM_CAP_MP_STATE = 14;
inline constexpr std::uint32_t KVM_CAP_COALESCED_MMIO = 15;
inline constexpr std::uint32_t KVM_CAP_SYNC_MMU = 16;
inline constexpr std::uint32_t KVM_CAP_DEVICE_ASSIGNMENT = 17;  // legacy assignment, until 4.12
// Legacy assignment: the value says whether PCI has an IOMMU.
inline constexpr std::uint32_t KVM_CAP_IOMMU = 18;
inline constexpr std::uint32_t KVM_CAP_DEVICE_MSI = 20;  // legacy assignment
inline constexpr std::uint32_t KVM_CAP_DESTROY_MEMORY_REGION_WORKS = 21;
inline constexpr std::uint32_t KVM_CAP_USER_NMI = 22;
inline constexpr std::uint32_t KVM_CAP_SET_GUEST_DEBUG = 23;
inline constexpr std::uint32_t KVM_CAP_REINJECT_CONTROL = 24;
inline constexpr std::uint32_t KVM_CAP_IRQ_ROUTING = 25;
inline constexpr std::uint32_t KVM_CAP_IRQ_INJECT_STATUS = 26;
inline constexpr std::uint32_t KVM_CAP_DEVICE_DEASSIGNMENT = 27;  // legacy assignment
inline constexpr std::uint32_t KVM_CAP_DEVICE_MSIX = 28;          // legacy assignment
inline constexpr std::uint32_t KVM_CAP_ASSIGN_DEV_IRQ = 29;       // legacy assignment
inline constexpr std::uint32_t KVM_CAP_JOIN_MEMORY_REGIONS_WORKS = 30;
inline constexpr std::uint32_t KVM_CAP_MCE = 31;
inline constexpr std::uint32_t KVM_CAP_IRQFD = 32;
inline constexpr std::uint32_t KVM_CAP_PIT2 = 33;
inline constexpr std::uint32_t KVM_CAP_SET_BOOT_CPU_ID = 34;
inline constexpr std::uint32_t KVM_CAP_PIT_STATE2 = 35;
inline constexpr std::uint32_t KVM_CAP_IOEVENTFD = 36;
inline constexpr std::uint32_t KVM_CAP_SET_IDENTITY_MAP_ADDR = 37;
inline constexpr std::uint32_t KVM_CAP_XEN_HVM = 38;
inline constexpr std::uint32_t KVM_CAP_ADJUST_CLOCK = 39;
inline constexpr std::uint32_t KVM_CAP_INTERNAL_ERROR_DATA = 40;
inline constexpr std::uint32_t KVM_CAP_VCPU_EVENTS = 41;
inline constexpr std::uint32_t KVM_CAP_S390_PSW = 42;
inline constexpr std::uint32_t KVM_CAP_PPC_SEGSTATE = 43;
inline constexpr std::uint32_t KVM_CAP_HYPERV = 44;
inline constexpr std::uint32_t KVM_CAP_HYPERV_VAPIC = 45;
inline constexpr std::uint32_t KVM_CAP_HYPERV_SPIN = 46;
inline constexpr std::uint32_t KVM_CAP_PCI_SEGMENT = 47;
inline constexpr std::uint32_t KVM_CAP_PPC_PAIRED_SINGLES = 48;
inline constexpr std::uint32_t KVM_CAP_INTR_SHADOW = 49;
inline constexpr std::uint32_t KVM_CAP_DEBUGREGS = 50;
inline constexpr std::uint32_t KVM_CAP_X86_ROBUST_SINGLESTEP = 51;
inline constexpr std::uint32_t KVM_CAP_PPC_OSI = 52;
inline constexpr std::uint32_t KVM_CAP_PPC_UNSET_IRQ = 53;
inline constexpr std::uint32_t KVM_CAP_ENABLE_CAP = 54;
inline constexpr std::uint32_t KVM_CAP_XSAVE = 55;
inline constexpr std::uint32_t KVM_CAP_XCRS = 56;
inline constexpr std::uint32_t KVM_CAP_PPC_GET_PVINFO = 57;
inline constexpr std::uint32_t KVM_CAP_PPC_IRQ_LEVEL = 58;
inline constexpr std::uint32_t KVM_CAP_ASYNC_PF = 59;
inline constexpr std::uint32_t KVM_CAP_TSC_CONTROL = 60;
inline constexpr std::uint32_t KVM_CAP_GET_TSC_KHZ = 61;
inline constexpr std::uint32_t KVM_CAP_PPC_BOOKE_SREGS = 62;
inline constexpr std::uint32_t KVM_CAP_SPAPR_TCE = 63;
inline constexpr std::uint32_t KVM_CAP_PPC_SMT = 64;
inline constexpr std::uint32_t KVM_CAP_PPC_RMA = 65;
inline constexpr std::uint32_t KVM_CAP_MAX_VCPUS = 66;
inline constexpr std::uint32_t KVM_CAP_PPC_HIOR = 67;
inline constexpr std::uint32_t KVM_CAP_PPC_PAPR = 68;
inline constexpr std::uint32_t KVM_CAP_SW_TLB = 69;
inline constexpr std::uint32_t KVM_CAP_ONE_REG = 70;
inline constexpr std::uint32_t KVM_CAP_S390_GMAP = 71;
inline constexpr std::uint32_t KVM_CAP_TSC_DEADLINE_TIMER = 72;
inline constexpr std::uint32_t KVM_CAP_S390_UCONTROL = 73;
inline constexpr std::uint32_t KVM_CAP_SYNC_REGS = 74;
// Legacy assignment: interrupts masked the PCI 2.3 way.
inline constexpr std::uint32_t KVM_CAP_PCI_2_3 = 75;
inline constexpr std::uint32_t KVM_CAP_KVMCLOCK_CTRL = 76;
inline constexpr std::uint32_t KVM_CAP_SIGNAL_MSI = 77;
inline constexpr std::uint32_t KVM_CAP_PPC_GET_SMMU_INFO = 78;
inline constexpr std::uint32_t KVM_CAP_S390_COW = 79;
inline constexpr std::uint32_t KVM_CAP_PPC_ALLOC_HTAB = 80;
inline constexpr std::uint32_t KVM_CAP_READONLY_MEM = 81;
inline constexpr std::uint32_t KVM_CAP_IRQFD_RESAMPLE = 82;
inline constexpr std::uint32_t KVM_CAP_PPC_BOOKE_WATCHDOG = 83;
inline constexpr std::uint32_t KVM_CAP_PPC_HTAB_FD = 84;
inline constexpr std::uint32_t KVM_CAP_S390_CSS_SUPPORT = 85;
inline constexpr std::uint32_t KVM_CAP_PPC_EPR = 86;
inline constexpr std::uint32_t KVM_CAP_ARM_PSCI = 87;
inline constexpr std::uint32_t KVM_CAP_ARM_SET_DEVICE_ADDR = 88;
inline constexpr std::uint32_t KVM_CAP_DEVICE_CTRL = 89;
inline constexpr std::uint32_t KVM_CAP_IRQ_MPIC = 90;
inline constexpr std::uint32_t KVM_CAP_PPC_RTAS = 91;
inline constexpr std::uint32_t KVM_CAP_IRQ_XICS = 92;
inline constexpr std::uint32_t KVM_CAP_ARM_EL1_32BIT = 93;
inline constexpr std::uint32_t KVM_CAP_SPAPR_MULTITCE = 94;
inline constexpr std::uint32_t KVM_CAP_EXT_EMUL_CPUID = 95;
inline constexpr std::uint32_t KVM_CAP_HYPERV_TIME = 96;
inline constexpr std::uint32_t KVM_CAP_IOAPIC_POLARITY_IGNORED = 97;
inline constexpr std::uint32_t KVM_CAP_ENABLE_CAP_VM = 98;
inline constexpr std::uint32_t KVM_CAP_S390_IRQCHIP = 99;
inline constexpr std::uint32_t KVM_CAP_IOEVENTFD_NO_LENGTH = 100;
inline constexpr std::uint32_t KVM_CAP_VM_ATTRIBUTES = 101;
inline constexpr std::uint32_t KVM_CAP_ARM_PSCI_0_2 = 102;
inline constexpr std::uint32_t KVM_CAP_PPC_FIXUP_HCALL = 103;
inline constexpr std::uint32_t KVM_CAP_PPC_ENABLE_HCALL = 104;
inline constexpr std::uint32_t KVM_CAP_CHECK_EXTENSION_VM = 105;
inline constexpr std::uint32_t KVM_CAP_S390_USER_SIGP = 106;
inline constexpr std::uint32_t KVM_CAP_S390_VECTOR_REGISTERS = 107;
inline constexpr std::uint32_t KVM_CAP_S390_MEM_OP = 108;
inline constexpr std::uint32_t KVM_CAP_S390_USER_STSI = 109;
inline constexpr std::uint32_t KVM_CAP_S390_SKEYS = 110;
inline constexpr std::uint32_t KVM_CAP_MIPS_FPU = 111;
inline constexpr std::uint32_t KVM_CAP_MIPS_MSA = 112;
inline constexpr std::uint32_t KVM_CAP_S390_INJECT_IRQ = 113;
inline constexpr std::uint32_t KVM_CAP_S390_IRQ_STATE = 114;
inline constexpr std::uint32_t KVM_CAP_PPC_HWRNG = 115;
inline constexpr std::uint32_t KVM_CAP_DISABLE_QUIRKS = 116;
inline constexpr std::uint32_t KVM_CAP_X86_SMM = 117;
inline constexpr std::uint32_t KVM_CAP_MULTI_ADDRESS_SPACE = 118;
inline constexpr std::uint32_t KVM_CAP_GUEST_DEBUG_HW_BPS = 119;
inline constexpr std::uint32_t KVM_CAP_GUEST_DEBUG_HW_WPS = 120;
inline constexpr std::uint32_t KVM_CAP_SPLIT_IRQCHIP = 121;
inline constexpr std::uint32_t KVM_CAP_IOEVENTFD_ANY_LENGTH = 122;
inline constexpr std::uint32_t KVM_CAP_HYPERV_SYNIC = 123;
inline constexpr std::uint32_t KVM_CAP_S390_RI = 124;
inline constexpr std::uint32_t KVM_CAP_SPAPR_TCE_64 = 125;
inline constexpr std::uint32_t KVM_CAP_ARM_PMU_V3 = 126;
inline constexpr std::uint32_t KVM_CAP_VCPU_ATTRIBUTES = 127;
inline constexpr std::uint32_t KVM_CAP_MAX_VCPU_ID = 128;
inline constexpr std::uint32_t KVM_CAP_X2APIC_API = 129;
inline constexpr std::uint32_t KVM_CAP_S390_USER_INSTR0 = 130;
inline constexpr std::uint32_t KVM_CAP_MSI_DEVID = 131;
inline constexpr std::uint32_t KVM_CAP_PPC_HTM = 132;
inline constexpr std::uint32_t KVM_CAP_SPAPR_RESIZE_HPT = 133;
inline constexpr std::uint32_t KVM_CAP_PPC_MMU_RADIX = 134;
inline constexpr std::uint32_t KVM_CAP_PPC_MMU_HASH_V3 = 135;
inline constexpr std::uint32_t KVM_CAP_IMMEDIATE_EXIT = 136;
inline constexpr std::uint32_t KVM_CAP_MIPS_VZ = 137;
inline constexpr std::uint32_t KVM_CAP_MIPS_TE = 138;
inline constexpr std::uint32_t KVM_CAP_MIPS_64BIT = 139;
inline constexpr std::uint32_t KVM_CAP_S390_GS = 140;
inline constexpr std::uint32_t KVM_CAP_S390_AIS = 141;
inline constexpr std::uint32_t KVM_CAP_SPAPR_TCE_VFIO = 142;
inline constexpr std::uint32_t KVM_CAP_X86_DISABLE_EXITS = 143;
inline constexpr std::uint32_t KVM_CAP_ARM_USER_IRQ = 144;
inline constexpr std::uint32_t KVM_CAP_S390_CMMA_MIGRATION = 145;
inline constexpr std::uint32_t KVM_CAP_PPC_FWNMI = 146;
inline constexpr std::uint32_t KVM_CAP_PPC_SMT_POSSIBLE = 147;
inline constexpr std::uint32_t KVM_CAP_HYPERV_SYNIC2 = 148;
inline constexpr std::uint32_t KVM_CAP_HYPERV_VP_INDEX = 149;
inline constexpr std::uint32_t KVM_CAP_S390_AIS_MIGRATION = 150;
inline constexpr std::uint32_t KVM_CAP_PPC_GET_CPU_CHAR = 151;
inline constexpr std::uint32_t KVM_CAP_S390_BPB = 152;
inline constexpr std::uint32_t KVM_CAP_GET_MSR_FEATURES = 153;
inline constexpr std::uint32_t KVM_CAP_HYPERV_EVENTFD = 154;
inline constexpr std::uint32_t KVM_CAP_HYPERV_TLBFLUSH = 155;
inline constexpr std::uint32_t KVM_CAP_S390_HPAGE_1M = 156;
inline constexpr std::uint32_t KVM_CAP_NESTED_STATE = 157;
inline constexpr std::uint32_t KVM_CAP_ARM_INJECT_SERROR_ESR = 158;
inline constexpr std::uint32_t KVM_CAP_MSR_PLATFORM_INFO = 159;
inline constexpr std::uint32_t KVM_CAP_PPC_NESTED_HV = 160;
inline constexpr std::uint32_t KVM_CAP_HYPERV_SEND_IPI = 161;
inline constexpr std::uint32_t KVM_CAP_COALESCED_PIO = 162;
inline constexpr std::uint32_t KVM_CAP_HYPERV_ENLIGHTENED_VMCS = 163;
inline constexpr std::uint32_t KVM_CAP_EXCEPTION_PAYLOAD = 164;
inline constexpr std::uint32_t KVM_CAP_ARM_VM_IPA_SIZE = 165;
inline constexpr std::uint32_t KVM_CAP_MANUAL_DIRTY_LOG_PROTECT = 166;
inline constexpr std::uint32_t KVM_CAP_HYPERV_CPUID = 167;
inline constexpr std::uint32_t KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 = 168;
inline constexpr std::uint32_t KVM_CAP_PPC_IRQ_XIVE = 169;
inline constexpr std::uint32_t KVM_CAP_ARM_SVE = 170;
inline constexpr std::uint32_t KVM_CAP_ARM_PTRAUTH_ADDRESS = 171;
inline constexpr std::uint32_t KVM_CAP_ARM_PTRAUTH_GENERIC = 172;
inline constexpr std::uint32_t KVM_CAP_PMU_EVENT_FILTER = 173;
inline constexpr std::uint32_t KVM_CAP_ARM_IRQ_LINE_LAYOUT_2 = 174;
inline constexpr std::uint32_t KVM_CAP_HYPERV_DIRECT_TLBFLUSH = 175;
inline constexpr std::uint32_t KVM_CAP_PPC_GUEST_DEBUG_SSTEP = 176;
inline constexpr std::uint32_t KVM_CAP_ARM_NISV_TO_USER = 177;
inline constexpr std::uint32_t KVM_CAP_ARM_INJECT_EXT_DABT = 178;
inline constexpr std::uint32_t KVM_CAP_S390_VCPU_RESETS = 179;
inline constexpr std::uint32_t KVM_CAP_S390_PROTECTED = 180;
inline constexpr std::uint32_t KVM_CAP_PPC_SECURE_GUEST = 181;
inline constexpr std::uint32_t KVM_CAP_HALT_POLL = 182;
inline constexpr std::uint32_t KVM_CAP_ASYNC_PF_INT = 183;
inline constexpr std::uint32_t KVM_CAP_LAST_CPU = 184;
inline constexpr std::uint32_t KVM_CAP_SMALLER_MAXPHYADDR = 185;
inline constexpr std::uint32_t KVM_CAP_S390_DIAG318 = 186;
inline constexpr std::uint32_t KVM_CAP_STEAL_TIME = 187;
inline constexpr std::uint32_t KVM_CAP_X86_USER_SPACE_MSR = 188;
inline constexpr std::uint32_t KVM_CAP_X86_MSR_FILTER = 189;
inline constexpr std::uint32_t KVM_CAP_ENFORCE_PV_FEATURE_CPUID = 190;
inline constexpr std::uint32_t KVM_CAP_SYS_HYPERV_CPUID = 191;
inline constexpr std::uint32_t KVM_CAP_DIRTY_LOG_RING = 192;
inline constexpr std::uint32_t KVM_CAP_X86_BUS_LOCK_EXIT = 193;
inline constexpr std::uint32_t KVM_CAP_PPC_DAWR1 = 194;
inline constexpr std::uint32_t KVM_CAP_SET_GUEST_DEBUG2 = 195;
inline constexpr std::uint32_t KVM_CAP_SGX_ATTRIBUTE = 196;
inline constexpr std::uint32_t KVM_CAP_VM_COPY_ENC_CONTEXT_FROM = 197;
inline constexpr std::uint32_t KVM_CAP_PTP_KVM = 198;
inline constexpr std::uint32_t KVM_CAP_HYPERV_ENFORCE_CPUID = 199;
inline constexpr std::uint32_t KVM_CAP_SREGS2 = 200;
inline constexpr std::uint32_t KVM_CAP_EXIT_HYPERCALL = 201;
inline constexpr std::uint32_t KVM_CAP_PPC_RPT_INVALIDATE = 202;
inline constexpr std::uint32_t KVM_CAP_BINARY_STATS_FD = 203;
inline constexpr std::uint32_t KVM_CAP_EXIT_ON_EMULATION_FAILURE = 204;
inline constexpr std::uint32_t KVM_CAP_ARM_MTE = 205;
inline constexpr std::uint32_t KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM = 206;
inline constexpr std::uint32_t KVM_CAP_VM_GPA_BITS = 207;
inline constexpr std::uint32_t KVM_CAP_XSAVE2 = 208;
inline constexpr std::uint32_t KVM_CAP_SYS_ATTRIBUTES = 209;
inline constexpr std::uint32_t KVM_CAP_PPC_AIL_MODE_3 = 210;
inline constexpr std::uint32_t KVM_CAP_S390_MEM_OP_EXTENSION = 211;
inline constexpr std::uint32_t KVM_CAP_PMU_CAPABILITY = 212;
inline constexpr std::uint32_t KVM_CAP_DISABLE_QUIRKS2 = 213;
inline constexpr std::uint32_t KVM_CAP_VM_TSC_CONTROL = 214;
inline constexpr std::uint32_t KVM_CAP_SYSTEM_EVENT_DATA = 215;
inline constexpr std::uint32_t KVM_CAP_ARM_SYSTEM_SUSPEND = 216;
inline constexpr std::uint32_t KVM_CAP_S390_PROTECTED_DUMP = 217;
inline constexpr std::uint32_t KVM_CAP_X86_TRIPLE_FAULT_EVENT = 218;
inline constexpr std::uint32_t KVM_CAP_X86_NOTIFY_VMEXIT = 219;
inline constexpr std::uint32_t KVM_CAP_VM_DISABLE_NX_HUGE_PAGES = 220;
inline constexpr std::uint32_t KVM_CAP_S390_ZPCI_OP = 221;
inline constexpr std::uint32_t KVM_CAP_S390_CPU_TOPOLOGY = 222;
inline constexpr std::uint32_t KVM_CAP_DIRTY_LOG_RING_ACQ_REL = 223;
inline constexpr std::uint32_t KVM_CAP_S390_PROTECTED_ASYNC_DISABLE = 224;
inline constexpr std::uint32_t KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP = 225;
inline constexpr std::uint32_t KVM_CAP_PMU_EVENT_MASKED_EVENTS = 226;
inline constexpr std::uint32_t KVM_CAP_COUNTER_OFFSET = 227;
inline constexpr std::uint32_t KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE = 228;
inline constexpr std::uint32_t KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES = 229;
inline constexpr std::uint32_t KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES = 230;
inline constexpr std::uint32_t KVM_CAP_USER_MEMORY2 = 231;
inline constexpr std::uint32_t KVM_CAP_MEMORY_FAULT_INFO = 232;
inline constexpr std::uint32_t KVM_CAP_MEMORY_ATTRIBUTES = 233;
inline constexpr std::uint32_t KVM_CAP_GUEST_MEMFD = 234;
inline constexpr std::uint32_t KVM_CAP_VM_TYPES = 235;
inline constexpr std::uint32_t KVM_CAP_PRE_FAULT_MEMORY = 236;
inline constexpr std::uint32_t KVM_CAP_X86_APIC_BUS_CYCLES_NS = 237;
inline constexpr std::uint32_t KVM_CAP_X86_GUEST_MODE = 238;

// ---- Devices inside a VM

// Argument of KVM_CREATE_DEVICE.
struct kvm_create_device {
    std::uint32_t type;   // KVM_DEV_TYPE_*
    std::uint32_t fd;     // written back
    std::uint32_t flags;  // KVM_CREATE_DEVICE_TEST
};
static_assert(sizeof(kvm_create_device) == 12 && offsetof(kvm_create_device, fd) == 4 &&
              offsetof(kvm_create_device, flags) == 8);

inline constexpr std::uint32_t KVM_CREATE_DEVICE_TEST = 1;  // only check that the type exists

// Argument of KVM_SET_DEVICE_ATTR and its two companions.
struct kvm_device_attr {
    std::uint32_t flags;
    std::uint32_t group;
    std::uint64_t attr;
    std::uint64_t addr;  // address of what the attribute holds
};
static_assert(sizeof(kvm_device_attr) == 24 && offsetof(kvm_device_attr, group) == 4 &&
              offsetof(kvm_device_attr, attr) == 8 && offsetof(kvm_device_attr, addr) == 16);

inline constexpr Request KVM_CREATE_DEVICE = iowr<kvm_create_device>(KVMIO, 0xe0);
inline constexpr Request KVM_SET_DEVICE_ATTR = iow<kvm_device_attr>(KVMIO, 0xe1);
// Encoded as a write, although it reads.
inline constexpr Request KVM_GET_DEVICE_ATTR = iow<kvm_device_attr>(KVMIO, 0xe2);
inline constexpr Request KVM_HAS_DEVICE_ATTR = iow<kvm_device_attr>(KVMIO, 0xe3);

inline constexpr std::uint32_t KVM_DEV_TYPE_FSL_MPIC_20 = 1;
inline constexpr std::uint32_t KVM_DEV_TYPE_FSL_MPIC_42 = 2;
inline constexpr std::uint32_t KVM_DEV_TYPE_XICS = 3;
inline constexpr std::uint32_t KVM_DEV_TYPE_VFIO = 4;
inline constexpr std::uint32_t KVM_DEV_TYPE_ARM_VGIC_V2 = 5;
inline constexpr std::uint32_t KVM_DEV_TYPE_FLIC = 6;
inline constexpr std::uint32_t KVM_DEV_TYPE_ARM_VGIC_V3 = 7;
inline constexpr std::uint32_t KVM_DEV_TYPE_ARM_VGIC_ITS = 8;
inline constexpr std::uint32_t KVM_DEV_TYPE_XIVE = 9;
inline constexpr std::uint32_t KVM_DEV_TYPE_ARM_PV_TIME = 10;
inline constexpr std::uint32_t KVM_DEV_TYPE_RISCV_AIA = 11;
inline constexpr std::uint32_t KVM_DEV_TYPE_MAX = 12;

// The device of type VFIO: one attribute group, once named after groups and now after files.
inline constexpr std::uint32_t KVM_DEV_VFIO_FILE = 1;

inline constexpr std::uint32_t KVM_DEV_VFIO_FILE_ADD = 1;
inline constexpr std::uint32_t KVM_DEV_VFIO_FILE_DEL = 2;
inline constexpr std::uint32_t KVM_DEV_VFIO_GROUP = KVM_DEV_VFIO_FILE;
inline constexpr std::uint32_t KVM_DEV_VFIO_GROUP_ADD = KVM_DEV_VFIO_FILE_ADD;
inline constexpr std::uint32_t KVM_DEV_VFIO_GROUP_DEL = KVM_DEV_VFIO_FILE_DEL;
inline constexpr std::uint32_t KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE = 3;

// Argument of KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE.
struct kvm_vfio_spapr_tce {
    std::int32_t groupfd;
    std::int32_t tablefd;
};
static_assert(sizeof(kvm_vfio_spapr_tce) == 8 && offsetof(kvm_vfio_spapr_tce, tablefd) == 4);

// ---- POWER: TCE tables and the guest's MMU

// Argument of KVM_CREATE_SPAPR_TCE; only its size distinguishes the request from the other one.
struct kvm_create_spapr_tce {
    std::uint64_t liobn;
    std::uint32_t window_size;  // in bytes
};
static_assert(sizeof(kvm_create_spapr_tce) == 16 &&
              offsetof(kvm_create_spapr_tce, window_size) == 8);

// Argument of KVM_CREATE_SPAPR_TCE_64.
struct kvm_create_spapr_tce_64 {
    std::uint64_t liobn;
    std::uint32_t page_shift;
    std::uint32_t flags;
    std::uint64_t offset;  // in pages of page_shift
    std::uint64_t size;    // in pages of page_shift
};
static_assert(sizeof(kvm_create_spapr_tce_64) == 32 &&
              offsetof(kvm_create_spapr_tce_64, page_shift) == 8 &&
              offsetof(kvm_create_spapr_tce_64, flags) == 12 &&
              offsetof(kvm_create_spapr_tce_64, offset) == 16 &&
              offsetof(kvm_create_spapr_tce_64, size) == 24);

inline constexpr Request KVM_CREATE_SPAPR_TCE = iow<kvm_create_spapr_tce>(KVMIO, 0xa8);
inline constexpr Request KVM_CREATE_SPAPR_TCE_64 = iow<kvm_create_spapr_tce_64>(KVMIO, 0xa8);

// Argument of KVM_PPC_CONFIGURE_V3_MMU.
struct kvm_ppc_mmuv3_cfg {
    std::uint64_t flags;  // KVM_PPC_MMUV3_*
    std::uint64_t process_table;
};
static_assert(sizeof(kvm_ppc_mmuv3_cfg) == 16 && offsetof(kvm_ppc_mmuv3_cfg, process_table) == 8);

inline constexpr std::uint32_t KVM_PPC_MMUV3_RADIX = 1;
inline constexpr std::uint32_t KVM_PPC_MMUV3_GTSE = 2;

inline constexpr Request KVM_PPC_CONFIGURE_V3_MMU = iow<kvm_ppc_mmuv3_cfg>(KVMIO, 0xaf);
inline constexpr Request KVM_PPC_GET_PVINFO = iow_bytes(KVMIO, 0xa1, 128);
inline constexpr Request KVM_PPC_GET_SMMU_INFO = ior_bytes(KVMIO, 0xa6, 592);
inline constexpr Request KVM_PPC_ALLOCATE_HTAB = iowr<std::uint32_t>(KVMIO, 0xa7);
inline constexpr Request KVM_ALLOCATE_RMA = ior_bytes(KVMIO, 0xa9, 8);
inline constexpr Request KVM_PPC_GET_HTAB_FD = iow_bytes(KVMIO, 0xaa, 32);
inline constexpr Request KVM_PPC_RTAS_DEFINE_TOKEN = iow_bytes(KVMIO, 0xac, 128);
inline constexpr Request KVM_PPC_RESIZE_HPT_PREPARE = ior_bytes(KVMIO, 0xad, 16);
inline constexpr Request KVM_PPC_RESIZE_HPT_COMMIT = ior_bytes(KVMIO, 0xae, 16);
inline constexpr Request KVM_PPC_GET_RMMU_INFO = iow_bytes(KVMIO, 0xb0, 96);
inline constexpr Request KVM_PPC_GET_CPU_CHAR = ior_bytes(KVMIO, 0xb1, 32);
inline constexpr Request KVM_PPC_SVM_OFF = io(KVMIO, 0xb3);

// ---- Interrupts

// Argument of KVM_IRQ_LINE.
struct kvm_irq_level {
    union {
        std::uint32_t irq;
        std::int32_t status;  // written back by KVM_IRQ_LINE_STATUS
    };
    std::uint32_t level;
};
static_assert(sizeof(kvm_irq_level) == 8 && offsetof(kvm_irq_level, status) == 0 &&
              offsetof(kvm_irq_level, level) == 4);

// chip: the state of one chip, up to 512 bytes.
struct kvm_irqchip {
    std::uint32_t chip_id;
    std::uint32_t pad;
    std::uint8_t chip[512];
};
static_assert(sizeof(kvm_irqchip) == 520 && offsetof(kvm_irqchip, pad) == 4 &&
              offsetof(kvm_irqchip, chip) == 8);

struct kvm_pit_config {
    std::uint32_t flags;  // KVM_PIT_SPEAKER_DUMMY
    std::uint32_t pad[15];
};
static_assert(sizeof(kvm_pit_config) == 64 && offsetof(kvm_pit_config, pad) == 4);

inline constexpr std::uint32_t KVM_PIT_SPEAKER_DUMMY = 1;

inline constexpr Request KVM_CREATE_IRQCHIP = io(KVMIO, 0x60);
inline constexpr Request KVM_IRQ_LINE = iow<kvm_irq_level>(KVMIO, 0x61);
inline constexpr Request KVM_GET_IRQCHIP = iowr<kvm_irqchip>(KVMIO, 0x62);
// Encoded as a read, although it writes.
inline constexpr Request KVM_SET_IRQCHIP = ior<kvm_irqchip>(KVMIO, 0x63);
inline constexpr Request KVM_CREATE_PIT = io(KVMIO, 0x64);
inline constexpr Request KVM_GET_PIT = iowr_bytes(KVMIO, 0x65, 72);
inline constexpr Request KVM_SET_PIT = ior_bytes(KVMIO, 0x66, 72);
inline constexpr Request KVM_IRQ_LINE_STATUS = iowr<kvm_irq_level>(KVMIO, 0x67);
inline constexpr Request KVM_REINJECT_CONTROL = io(KVMIO, 0x71);
inline constexpr Request KVM_CREATE_PIT2 = iow<kvm_pit_config>(KVMIO, 0x77);
inline constexpr Request KVM_GET_PIT2 = ior_bytes(KVMIO, 0x9f, 112);
inline constexpr Request KVM_SET_PIT2 = iow_bytes(KVMIO, 0xa0, 112);

struct kvm_irq_routing_irqchip {
    std::uint32_t irqchip;
    std::uint32_t pin;
};
static_assert(sizeof(kvm_irq_routing_irqchip) == 8 && offsetof(kvm_irq_routing_irqchip, pin) == 4);

struct kvm_irq_routing_msi {
    std::uint32_t address_lo;
    std::uint32_t address_hi;
    std::uint32_t data;
    union {
        std::uint32_t pad;
        std::uint32_t devid;
    };
};
static_assert(sizeof(kvm_irq_routing_msi) == 16 && offsetof(kvm_irq_routing_msi, address_hi) == 4 &&
              offsetof(kvm_irq_routing_msi, data) == 8 &&
              offsetof(kvm_irq_routing_msi, pad) == 12 &&
              offsetof(kvm_irq_routing_msi, devid) == 12);

struct kvm_irq_routing_s390_adapter {
    std::uint64_t ind_addr;
    std::uint64_t summary_addr;
    std::uint64_t ind_offset;
    std::uint32_t summary_offset;
    std::uint32_t adapter_id;
};
static_assert(sizeof(kvm_irq_routing_s390_adapter) == 32 &&
              offsetof(kvm_irq_routing_s390_adapter, summary_addr) == 8 &&
              offsetof(kvm_irq_routing_s390_adapter, ind_offset) == 16 &&
              offsetof(kvm_irq_routing_s390_adapter, summary_offset) == 24 &&
              offsetof(kvm_irq_routing_s390_adapter, adapter_id) == 28);

struct kvm_irq_routing_hv_sint {
    std::uint32_t vcpu;
    std::uint32_t sint;
};
static_assert(sizeof(kvm_irq_routing_hv_sint) == 8 && offsetof(kvm_irq_routing_hv_sint, sint) == 4);

struct kvm_irq_routing_xen_evtchn {
    std::uint32_t port;
    std::uint32_t vcpu;
    std::uint32_t priority;
};
static_assert(sizeof(kvm_irq_routing_xen_evtchn) == 12 &&
              offsetof(kvm_irq_routing_xen_evtchn, vcpu) == 4 &&
              offsetof(kvm_irq_routing_xen_evtchn, priority) == 8);

inline constexpr std::uint32_t KVM_IRQ_ROUTING_IRQCHIP = 1;
inline constexpr std::uint32_t KVM_IRQ_ROUTING_MSI = 2;
inline constexpr std::uint32_t KVM_IRQ_ROUTING_S390_ADAPTER = 3;
inline constexpr std::uint32_t KVM_IRQ_ROUTING_HV_SINT = 4;
inline constexpr std::uint32_t KVM_IRQ_ROUTING_XEN_EVTCHN = 5;
inline constexpr std::uint32_t KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL = 0xffffffff;

// type selects the member of u.
struct kvm_irq_routing_entry {
    std::uint32_t gsi;
    std::uint32_t type;   // KVM_IRQ_ROUTING_*
    std::uint32_t flags;  // KVM_MSI_VALID_DEVID
    std::uint32_t pad;
    union Kind {
        kvm_irq_routing_irqchip irqchip;
        kvm_irq_routing_msi msi;
        kvm_irq_routing_s390_adapter adapter;
        kvm_irq_routing_hv_sint hv_sint;
        kvm_irq_routing_xen_evtchn xen_evtchn;
        std::uint32_t pad[8];
    } u;
};
static_assert(sizeof(kvm_irq_routing_entry) == 48 && offsetof(kvm_irq_routing_entry, type) == 4 &&
              offsetof(kvm_irq_routing_entry, flags) == 8 &&
              offsetof(kvm_irq_routing_entry, pad) == 12 &&
              offsetof(kvm_irq_routing_entry, u) == 16);

// Argument of KVM_SET_GSI_ROUTING. Tail: nr times kvm_irq_routing_entry, from byte 8.
struct kvm_irq_routing {
    std::uint32_t nr;
    std::uint32_t flags;
};
static_assert(sizeof(kvm_irq_routing) == 8 && offsetof(kvm_irq_routing, flags) == 4);

inline constexpr Request KVM_SET_GSI_ROUTING = iow<kvm_irq_routing>(KVMIO, 0x6a);

// Argument of KVM_IRQFD.
struct kvm_irqfd {
    std::uint32_t fd;
    std::uint32_t gsi;
    std::uint32_t flags;  // KVM_IRQFD_FLAG_*
    std::uint32_t resamplefd;
    std::uint8_t pad[16];
};
static_assert(sizeof(kvm_irqfd) == 32 && offsetof(kvm_irqfd, gsi) == 4 &&
              offsetof(kvm_irqfd, flags) == 8 && offsetof(kvm_irqfd, resamplefd) == 12 &&
              offsetof(kvm_irqfd, pad) == 16);

inline constexpr std::uint32_t KVM_IRQFD_FLAG_DEASSIGN = 1U << 0;
inline constexpr std::uint32_t KVM_IRQFD_FLAG_RESAMPLE = 1U << 1;

inline constexpr Request KVM_IRQFD = iow<kvm_irqfd>(KVMIO, 0x76);

// Argument of KVM_SIGNAL_MSI.
struct kvm_msi {
    std::uint32_t address_lo;
    std::uint32_t address_hi;
    std::uint32_t data;
    std::uint32_t flags;  // KVM_MSI_VALID_DEVID
    std::uint32_t devid;
    std::uint8_t pad[12];
};
static_assert(sizeof(kvm_msi) == 32 && offsetof(kvm_msi, address_hi) == 4 &&
              offsetof(kvm_msi, data) == 8 && offsetof(kvm_msi, flags) == 12 &&
              offsetof(kvm_msi, devid) == 16 && offsetof(kvm_msi, pad) == 20);

inline constexpr std::uint32_t KVM_MSI_VALID_DEVID = 1U << 0;

inline constexpr Request KVM_SIGNAL_MSI = iow<kvm_msi>(KVMIO, 0xa5);

// ---- Writes of the guest

// Argument of KVM_IOEVENTFD.
struct kvm_ioeventfd {
    std::uint64_t datamatch;
    std::uint64_t addr;
    std::uint32_t len;
    std::int32_t fd;
    std::uint32_t flags;  // KVM_IOEVENTFD_FLAG_*
    std::uint8_t pad[36];
};
static_assert(sizeof(kvm_ioeventfd) == 64 && offsetof(kvm_ioeventfd, addr) == 8 &&
              offsetof(kvm_ioeventfd, len) == 16 && offsetof(kvm_ioeventfd, fd) == 20 &&
              offsetof(kvm_ioeventfd, flags) == 24 && offsetof(kvm_ioeventfd, pad) == 28);

inline constexpr std::uint32_t KVM_IOEVENTFD_FLAG_DATAMATCH = 1U << 0;
inline constexpr std::uint32_t KVM_IOEVENTFD_FLAG_PIO = 1U << 1;
inline constexpr std::uint32_t KVM_IOEVENTFD_FLAG_DEASSIGN = 1U << 2;
inline constexpr std::uint32_t KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY = 1U << 3;
// Bit 4 is valid, without a name of its own.
inline constexpr std::uint32_t KVM_IOEVENTFD_VALID_FLAG_MASK = (1U << 5) - 1;

inline constexpr Request KVM_IOEVENTFD = iow<kvm_ioeventfd>(KVMIO, 0x79);

struct kvm_coalesced_mmio_zone {
    std::uint64_t addr;
    std::uint32_t size;
    union {
        std::uint32_t pad;
        std::uint32_t pio;
    };
};
static_assert(sizeof(kvm_coalesced_mmio_zone) == 16 &&
              offsetof(kvm_coalesced_mmio_zone, size) == 8 &&
              offsetof(kvm_coalesced_mmio_zone, pad) == 12 &&
              offsetof(kvm_coalesced_mmio_zone, pio) == 12);

// An entry of the ring.
struct kvm_coalesced_mmio {
    std::uint64_t phys_addr;
    std::uint32_t len;
    union {
        std::uint32_t pad;
        std::uint32_t pio;
    };
    std::uint8_t data[8];
};
static_assert(sizeof(kvm_coalesced_mmio) == 24 && offsetof(kvm_coalesced_mmio, len) == 8 &&
              offsetof(kvm_coalesced_mmio, pad) == 12 && offsetof(kvm_coalesced_mmio, pio) == 12 &&
              offsetof(kvm_coalesced_mmio, data) == 16);

// Tail: kvm_coalesced_mmio to the end of the page, from byte 8.
struct kvm_coalesced_mmio_ring {
    std::uint32_t first;
    std::uint32_t last;
};
static_assert(sizeof(kvm_coalesced_mmio_ring) == 8 && offsetof(kvm_coalesced_mmio_ring, last) == 4);

inline constexpr Request KVM_REGISTER_COALESCED_MMIO = iow<kvm_coalesced_mmio_zone>(KVMIO, 0x67);
inline constexpr Request KVM_UNREGISTER_COALESCED_MMIO = iow<kvm_coalesced_mmio_zone>(KVMIO, 0x68);

// ---- Clock of a VM

struct kvm_clock_data {
    std::uint64_t clock;
    std::uint32_t flags;  // KVM_CLOCK_*
    std::uint32_t pad0;
    std::uint64_t realtime;
    std::uint64_t host_tsc;
    std::uint32_t pad[4];
};
static_assert(sizeof(kvm_clock_data) == 48 && offsetof(kvm_clock_data, flags) == 8 &&
              offsetof(kvm_clock_data, pad0) == 12 && offsetof(kvm_clock_data, realtime) == 16 &&
              offsetof(kvm_clock_data, host_tsc) == 24 && offsetof(kvm_clock_data, pad) == 32);

inline constexpr std::uint32_t KVM_CLOCK_TSC_STABLE = 2;
inline constexpr std::uint32_t KVM_CLOCK_REALTIME = 1U << 2;
inline constexpr std::uint32_t KVM_CLOCK_HOST_TSC = 1U << 3;

inline constexpr Request KVM_SET_CLOCK = iow<kvm_clock_data>(KVMIO, 0x7b);
inline constexpr Request KVM_GET_CLOCK = ior<kvm_clock_data>(KVMIO, 0x7c);

// ---- A vcpu

inline constexpr Request KVM_CREATE_VCPU = io(KVMIO, 0x41);
inline constexpr Request KVM_SET_BOOT_CPU_ID = io(KVMIO, 0x78);
inline constexpr Request KVM_RUN = io(KVMIO, 0x80);

// Mapped from a vcpu. Exits that only other architectures or Hyper-V and Xen guests have are left
// out.
struct kvm_run {
    struct Hw {
        std::uint64_t hardware_exit_reason;
    };
    struct FailEntry {
        std::uint64_t hardware_entry_failure_reason;
        std::uint32_t cpu;
    };
    struct Ex {
        std::uint32_t exception;
        std::uint32_t error_code;
    };
    struct Io {
        std::uint8_t direction;  // KVM_EXIT_IO_IN, KVM_EXIT_IO_OUT
        std::uint8_t size;
        std::uint16_t port;
        std::uint32_t count;
        std::uint64_t data_offset;  // from the start of kvm_run
    };
    struct Mmio {
        std::uint64_t phys_addr;
        std::uint8_t data[8];
        std::uint32_t len;
        std::uint8_t is_write;
    };
    struct Hypercall {
        std::uint64_t nr;
        std::uint64_t args[6];
        std::uint64_t ret;
        std::uint64_t flags;
    };
    struct TprAccess {
        std::uint64_t rip;
        std::uint32_t is_write;
        std::uint32_t pad;
    };
    struct Dcr {
        std::uint32_t dcrn;
        std::uint32_t data;
        std::uint8_t is_write;
    };
    struct Internal {
        std::uint32_t suberror;  // KVM_INTERNAL_ERROR_*
        std::uint32_t ndata;
        std::uint64_t data[16];
    };
    struct Osi {
        std::uint64_t gprs[32];
    };
    struct PaprHcall {
        std::uint64_t nr;
        std::uint64_t ret;
        std::uint64_t args[9];
    };
    struct Epr {
        std::uint32_t epr;
    };
    struct SystemEvent {
        std::uint32_t type;  // KVM_SYSTEM_EVENT_*
        std::uint32_t ndata;
        std::uint64_t data[16];
    };
    struct Eoi {
        std::uint8_t vector;
    };
    struct Msr {
        std::uint8_t error;
        std::uint8_t pad[7];
        std::uint32_t reason;  // KVM_MSR_EXIT_REASON_*
        std::uint32_t index;
        std::uint64_t data;
    };
    struct Notify {
        std::uint32_t flags;  // KVM_NOTIFY_CONTEXT_INVALID
    };
    struct MemoryFault {
        std::uint64_t flags;  // KVM_MEMORY_EXIT_FLAG_PRIVATE
        std::uint64_t gpa;
        std::uint64_t size;
    };
    std::uint8_t request_interrupt_window;
    std::uint8_t immediate_exit;
    std::uint8_t padding1[6];
    std::uint32_t exit_reason;  // KVM_EXIT_*
    std::uint8_t ready_for_interrupt_injection;
    std::uint8_t if_flag;
    std::uint16_t flags;
    std::uint64_t cr8;
    std::uint64_t apic_base;
    union {
        Hw hw;
        FailEntry fail_entry;
        Ex ex;
        Io io;
        Mmio mmio;
        Hypercall hypercall;
        TprAccess tpr_access;
        Dcr dcr;
        Internal internal;
        Osi osi;
        PaprHcall papr_hcall;
        Epr epr;
        SystemEvent system_event;
        Eoi eoi;
        Msr msr;
        Notify notify;
        MemoryFault memory_fault;
        std::uint8_t padding[256];
    };
    std::uint64_t kvm_valid_regs;
    std::uint64_t kvm_dirty_regs;
    std::uint8_t s[2048];  // registers of the architecture
};
static_assert(sizeof(kvm_run) == 2352 && offsetof(kvm_run, immediate_exit) == 1 &&
              offsetof(kvm_run, padding1) == 2 && offsetof(kvm_run, exit_reason) == 8 &&
              offsetof(kvm_run, ready_for_interrupt_injection) == 12 &&
              offsetof(kvm_run, if_flag) == 13 && offsetof(kvm_run, flags) == 14 &&
              offsetof(kvm_run, cr8) == 16 && offsetof(kvm_run, apic_base) == 24 &&
              offsetof(kvm_run, hw) == 32 && offsetof(kvm_run, fail_entry) == 32 &&
              offsetof(kvm_run, ex) == 32 && offsetof(kvm_run, io) == 32 &&
              offsetof(kvm_run, mmio) == 32 && offsetof(kvm_run, hypercall) == 32 &&
              offsetof(kvm_run, tpr_access) == 32 && offsetof(kvm_run, dcr) == 32 &&
              offsetof(kvm_run, internal) == 32 && offsetof(kvm_run, osi) == 32 &&
              offsetof(kvm_run, papr_hcall) == 32 && offsetof(kvm_run, epr) == 32 &&
              offsetof(kvm_run, system_event) == 32 && offsetof(kvm_run, eoi) == 32 &&
              offsetof(kvm_run, msr) == 32 && offsetof(kvm_run, notify) == 32 &&
              offsetof(kvm_run, memory_fault) == 32 && offsetof(kvm_run, padding) == 32 &&
              offsetof(kvm_run, kvm_valid_regs) == 288 &&
              offsetof(kvm_run, kvm_dirty_regs) == 296 && offsetof(kvm_run, s) == 304);

inline constexpr std::uint32_t SYNC_REGS_SIZE_BYTES = 2048;

inline constexpr std::uint32_t KVM_EXIT_IO_IN = 0;
inline constexpr std::uint32_t KVM_EXIT_IO_OUT = 1;

inline constexpr std::uint32_t KVM_INTERNAL_ERROR_EMULATION = 1;
inline constexpr std::uint32_t KVM_INTERNAL_ERROR_SIMUL_EX = 2;
inline constexpr std::uint32_t KVM_INTERNAL_ERROR_DELIVERY_EV = 3;
inline constexpr std::uint32_t KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON = 4;

inline constexpr std::uint32_t KVM_SYSTEM_EVENT_SHUTDOWN = 1;
inline constexpr std::uint32_t KVM_SYSTEM_EVENT_RESET = 2;
inline constexpr std::uint32_t KVM_SYSTEM_EVENT_CRASH = 3;
inline constexpr std::uint32_t KVM_SYSTEM_EVENT_WAKEUP = 4;
inline constexpr std::uint32_t KVM_SYSTEM_EVENT_SUSPEND = 5;
inline constexpr std::uint32_t KVM_SYSTEM_EVENT_SEV_TERM = 6;

inline constexpr std::uint32_t KVM_MSR_EXIT_REASON_INVAL = 1U << 0;
inline constexpr std::uint32_t KVM_MSR_EXIT_REASON_UNKNOWN = 1U << 1;
inline constexpr std::uint32_t KVM_MSR_EXIT_REASON_FILTER = 1U << 2;

inline constexpr std::uint32_t KVM_NOTIFY_CONTEXT_INVALID = 1U << 0;
inline constexpr std::uint64_t KVM_MEMORY_EXIT_FLAG_PRIVATE = 1ULL << 3;

// Why KVM_RUN returned.
inline constexpr std::uint32_t KVM_EXIT_UNKNOWN = 0;
inline constexpr std::uint32_t KVM_EXIT_EXCEPTION = 1;
inline constexpr std::uint32_t KVM_EXIT_IO = 2;
inline constexpr std::uint32_t KVM_EXIT_HYPERCALL = 3;
inline constexpr std::uint32_t KVM_EXIT_DEBUG = 4;
inline constexpr std::uint32_t KVM_EXIT_HLT = 5;
inline constexpr std::uint32_t KVM_EXIT_MMIO = 6;
inline constexpr std::uint32_t KVM_EXIT_IRQ_WINDOW_OPEN = 7;
inline constexpr std::uint32_t KVM_EXIT_SHUTDOWN = 8;
inline constexpr std::uint32_t KVM_EXIT_FAIL_ENTRY = 9;
inline constexpr std::uint32_t KVM_EXIT_INTR = 10;
inline constexpr std::uint32_t KVM_EXIT_SET_TPR = 11;
inline constexpr std::uint32_t KVM_EXIT_TPR_ACCESS = 12;
inline constexpr std::uint32_t KVM_EXIT_S390_SIEIC = 13;
inline constexpr std::uint32_t KVM_EXIT_S390_RESET = 14;
inline constexpr std::uint32_t KVM_EXIT_DCR = 15;
inline constexpr std::uint32_t KVM_EXIT_NMI = 16;
inline constexpr std::uint32_t KVM_EXIT_INTERNAL_ERROR = 17;
inline constexpr std::uint32_t KVM_EXIT_OSI = 18;
inline constexpr std::uint32_t KVM_EXIT_PAPR_HCALL = 19;
inline constexpr std::uint32_t KVM_EXIT_S390_UCONTROL = 20;
inline constexpr std::uint32_t KVM_EXIT_WATCHDOG = 21;
inline constexpr std::uint32_t KVM_EXIT_S390_TSCH = 22;
inline constexpr std::uint32_t KVM_EXIT_EPR = 23;
inline constexpr std::uint32_t KVM_EXIT_SYSTEM_EVENT = 24;
inline constexpr std::uint32_t KVM_EXIT_S390_STSI = 25;
inline constexpr std::uint32_t KVM_EXIT_IOAPIC_EOI = 26;
inline constexpr std::uint32_t KVM_EXIT_HYPERV = 27;
inline constexpr std::uint32_t KVM_EXIT_ARM_NISV = 28;
inline constexpr std::uint32_t KVM_EXIT_X86_RDMSR = 29;
inline constexpr std::uint32_t KVM_EXIT_X86_WRMSR = 30;
inline constexpr std::uint32_t KVM_EXIT_DIRTY_RING_FULL = 31;
inline constexpr std::uint32_t KVM_EXIT_AP_RESET_HOLD = 32;
inline constexpr std::uint32_t KVM_EXIT_X86_BUS_LOCK = 33;
inline constexpr std::uint32_t KVM_EXIT_XEN = 34;
inline constexpr std::uint32_t KVM_EXIT_RISCV_SBI = 35;
inline constexpr std::uint32_t KVM_EXIT_RISCV_CSR = 36;
inline constexpr std::uint32_t KVM_EXIT_NOTIFY = 37;
inline constexpr std::uint32_t KVM_EXIT_LOONGARCH_IOCSR = 38;
inline constexpr std::uint32_t KVM_EXIT_MEMORY_FAULT = 39;

// ---- State of a vcpu

// The structs of the first group differ between x86 and POWER, and with them the numbers: two
// sizes, x86's and POWER's. Those of the second group exist on x86 alone.

inline constexpr Request KVM_GET_REGS = ior_bytes(KVMIO, 0x81, 144, 392);
inline constexpr Request KVM_SET_REGS = iow_bytes(KVMIO, 0x82, 144, 392);
inline constexpr Request KVM_GET_SREGS = ior_bytes(KVMIO, 0x83, 312, 1232);
inline constexpr Request KVM_SET_SREGS = iow_bytes(KVMIO, 0x84, 312, 1232);
inline constexpr Request KVM_GET_FPU = ior_bytes(KVMIO, 0x8c, 416, 256);
inline constexpr Request KVM_SET_FPU = iow_bytes(KVMIO, 0x8d, 416, 256);
inline constexpr Request KVM_SET_GUEST_DEBUG = iow_bytes(KVMIO, 0x9b, 72, 264);

inline constexpr Request KVM_GET_MSR_INDEX_LIST = iowr_bytes(KVMIO, 0x02, 4);
inline constexpr Request KVM_GET_SUPPORTED_CPUID = iowr_bytes(KVMIO, 0x05, 8);
inline constexpr Request KVM_GET_EMULATED_CPUID = iowr_bytes(KVMIO, 0x09, 8);
inline constexpr Request KVM_GET_MSR_FEATURE_INDEX_LIST = iowr_bytes(KVMIO, 0x0a, 4);
inline constexpr Request KVM_GET_MSRS = iowr_bytes(KVMIO, 0x88, 8);
inline constexpr Request KVM_SET_MSRS = iow_bytes(KVMIO, 0x89, 8);
inline constexpr Request KVM_SET_CPUID = iow_bytes(KVMIO, 0x8a, 8);
inline constexpr Request KVM_GET_LAPIC = ior_bytes(KVMIO, 0x8e, 1024);
inline constexpr Request KVM_SET_LAPIC = iow_bytes(KVMIO, 0x8f, 1024);
inline constexpr Request KVM_SET_CPUID2 = iow_bytes(KVMIO, 0x90, 8);
inline constexpr Request KVM_GET_CPUID2 = iowr_bytes(KVMIO, 0x91, 8);
inline constexpr Request KVM_X86_SETUP_MCE = iow<std::uint64_t>(KVMIO, 0x9c);
inline constexpr Request KVM_X86_GET_MCE_CAP_SUPPORTED = ior<std::uint64_t>(KVMIO, 0x9d);
inline constexpr Request KVM_X86_SET_MCE = iow_bytes(KVMIO, 0x9e, 64);
inline constexpr Request KVM_GET_VCPU_EVENTS = ior_bytes(KVMIO, 0x9f, 64);
inline constexpr Request KVM_SET_VCPU_EVENTS = iow_bytes(KVMIO, 0xa0, 64);
inline constexpr Request KVM_GET_DEBUGREGS = ior_bytes(KVMIO, 0xa1, 128);
inline constexpr Request KVM_SET_DEBUGREGS = iow_bytes(KVMIO, 0xa2, 128);
inline constexpr Request KVM_SET_TSC_KHZ = io(KVMIO, 0xa2);
inline constexpr Request KVM_GET_TSC_KHZ = io(KVMIO, 0xa3);
inline constexpr Request KVM_GET_XSAVE = ior_bytes(KVMIO, 0xa4, 4096);
inline constexpr Request KVM_SET_XSAVE = iow_bytes(KVMIO, 0xa5, 4096);
inline constexpr Request KVM_GET_XCRS = ior_bytes(KVMIO, 0xa6, 392);
inline constexpr Request KVM_SET_XCRS = iow_bytes(KVMIO, 0xa7, 392);
inline constexpr Request KVM_KVMCLOCK_CTRL = io(KVMIO, 0xad);
inline constexpr Request KVM_SET_PMU_EVENT_FILTER = iow_bytes(KVMIO, 0xb2, 32);
inline constexpr Request KVM_SMI = io(KVMIO, 0xb7);
inline constexpr Request KVM_GET_NESTED_STATE = iowr_bytes(KVMIO, 0xbe, 128);
inline constexpr Request KVM_SET_NESTED_STATE = iow_bytes(KVMIO, 0xbf, 128);
inline constexpr Request KVM_X86_SET_MSR_FILTER = iow_bytes(KVMIO, 0xc6, 392);
inline constexpr Request KVM_GET_SREGS2 = ior_bytes(KVMIO, 0xcc, 320);
inline constexpr Request KVM_SET_SREGS2 = iow_bytes(KVMIO, 0xcd, 320);
inline constexpr Request KVM_GET_XSAVE2 = ior_bytes(KVMIO, 0xcf, 4096);

// ---- State of a vcpu, the same everywhere

struct kvm_translation {
    std::uint64_t linear_address;
    std::uint64_t physical_address;
    std::uint8_t valid;
    std::uint8_t writeable;
    std::uint8_t usermode;
    std::uint8_t pad[5];
};
static_assert(sizeof(kvm_translation) == 24 && offsetof(kvm_translation, physical_address) == 8 &&
              offsetof(kvm_translation, valid) == 16 &&
              offsetof(kvm_translation, writeable) == 17 &&
              offsetof(kvm_translation, usermode) == 18 && offsetof(kvm_translation, pad) == 19);

inline constexpr Request KVM_TRANSLATE = iowr<kvm_translation>(KVMIO, 0x85);

struct kvm_interrupt {
    std::uint32_t irq;
};
static_assert(sizeof(kvm_interrupt) == 4);

inline constexpr Request KVM_INTERRUPT = iow<kvm_interrupt>(KVMIO, 0x86);

// Tail: len bytes of signal set, from byte 4.
struct kvm_signal_mask {
    std::uint32_t len;
};
static_assert(sizeof(kvm_signal_mask) == 4);

inline constexpr Request KVM_SET_SIGNAL_MASK = iow<kvm_signal_mask>(KVMIO, 0x8b);

struct kvm_tpr_access_ctl {
    std::uint32_t enabled;
    std::uint32_t flags;
    std::uint32_t reserved[8];
};
static_assert(sizeof(kvm_tpr_access_ctl) == 40 && offsetof(kvm_tpr_access_ctl, flags) == 4 &&
              offsetof(kvm_tpr_access_ctl, reserved) == 8);

inline constexpr Request KVM_TPR_ACCESS_REPORTING = iowr<kvm_tpr_access_ctl>(KVMIO, 0x92);

struct kvm_vapic_addr {
    std::uint64_t vapic_addr;
};
static_assert(sizeof(kvm_vapic_addr) == 8);

inline constexpr Request KVM_SET_VAPIC_ADDR = iow<kvm_vapic_addr>(KVMIO, 0x93);

struct kvm_mp_state {
    std::uint32_t mp_state;  // KVM_MP_STATE_*
};
static_assert(sizeof(kvm_mp_state) == 4);

inline constexpr std::uint32_t KVM_MP_STATE_RUNNABLE = 0;
inline constexpr std::uint32_t KVM_MP_STATE_UNINITIALIZED = 1;
inline constexpr std::uint32_t KVM_MP_STATE_INIT_RECEIVED = 2;
inline constexpr std::uint32_t KVM_MP_STATE_HALTED = 3;
inline constexpr std::uint32_t KVM_MP_STATE_SIPI_RECEIVED = 4;
inline constexpr std::uint32_t KVM_MP_STATE_STOPPED = 5;
inline constexpr std::uint32_t KVM_MP_STATE_CHECK_STOP = 6;
inline constexpr std::uint32_t KVM_MP_STATE_OPERATING = 7;
inline constexpr std::uint32_t KVM_MP_STATE_LOAD = 8;
inline constexpr std::uint32_t KVM_MP_STATE_AP_RESET_HOLD = 9;
inline constexpr std::uint32_t KVM_MP_STATE_SUSPENDED = 10;

inline constexpr Request KVM_GET_MP_STATE = ior<kvm_mp_state>(KVMIO, 0x98);
inline constexpr Request KVM_SET_MP_STATE = iow<kvm_mp_state>(KVMIO, 0x99);
inline constexpr Request KVM_NMI = io(KVMIO, 0x9a);

struct kvm_one_reg {
    std::uint64_t id;  // KVM_REG_*
    std::uint64_t addr;
};
static_assert(sizeof(kvm_one_reg) == 16 && offsetof(kvm_one_reg, addr) == 8);

inline constexpr Request KVM_GET_ONE_REG = iow<kvm_one_reg>(KVMIO, 0xab);
inline constexpr Request KVM_SET_ONE_REG = iow<kvm_one_reg>(KVMIO, 0xac);

// Tail: n times u64, from byte 8.
struct kvm_reg_list {
    std::uint64_t n;
};
static_assert(sizeof(kvm_reg_list) == 8);

inline constexpr Request KVM_GET_REG_LIST = iowr<kvm_reg_list>(KVMIO, 0xb0);
inline constexpr Request KVM_GET_STATS_FD = io(KVMIO, 0xce);

struct kvm_enc_region {
    std::uint64_t addr;
    std::uint64_t size;
};
static_assert(sizeof(kvm_enc_region) == 16 && offsetof(kvm_enc_region, size) == 8);

inline constexpr Request KVM_MEMORY_ENCRYPT_OP = iowr<std::uint64_t>(KVMIO, 0xba);
inline constexpr Request KVM_MEMORY_ENCRYPT_REG_REGION = ior<kvm_enc_region>(KVMIO, 0xbb);
inline constexpr Request KVM_MEMORY_ENCRYPT_UNREG_REGION = ior<kvm_enc_region>(KVMIO, 0xbc);

// The architecture and the size inside a register's id.
inline constexpr std::uint64_t KVM_REG_ARCH_MASK = 0xff00000000000000;
inline constexpr std::uint64_t KVM_REG_GENERIC = 0x0000000000000000;
inline constexpr std::uint64_t KVM_REG_PPC = 0x1000000000000000;
inline constexpr std::uint64_t KVM_REG_X86 = 0x2000000000000000;
inline constexpr std::uint64_t KVM_REG_IA64 = 0x3000000000000000;
inline constexpr std::uint64_t KVM_REG_ARM = 0x4000000000000000;
inline constexpr std::uint64_t KVM_REG_S390 = 0x5000000000000000;
inline constexpr std::uint64_t KVM_REG_ARM64 = 0x6000000000000000;
inline constexpr std::uint64_t KVM_REG_MIPS = 0x7000000000000000;
inline constexpr std::uint64_t KVM_REG_RISCV = 0x8000000000000000;
inline constexpr std::uint64_t KVM_REG_LOONGARCH = 0x9000000000000000;
inline constexpr std::uint32_t KVM_REG_SIZE_SHIFT = 52;
inline constexpr std::uint64_t KVM_REG_SIZE_MASK = 0x00f0000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U8 = 0x0000000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U16 = 0x0010000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U32 = 0x0020000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U64 = 0x0030000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U128 = 0x0040000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U256 = 0x0050000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U512 = 0x0060000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U1024 = 0x0070000000000000;
inline constexpr std::uint64_t KVM_REG_SIZE_U2048 = 0x0080000000000000;

// ---- Legacy device assignment (x86, until 4.12)

struct kvm_assigned_pci_dev {
    std::uint32_t assigned_dev_id;
    std::uint32_t busnr;
    std::uint32_t devfn;
    std::uint32_t flags;  // KVM_DEV_ASSIGN_*
    std::uint32_t segnr;
    std::uint32_t reserved[11];
};
static_assert(sizeof(kvm_assigned_pci_dev) == 64 && offsetof(kvm_assigned_pci_dev, busnr) == 4 &&
              offsetof(kvm_assigned_pci_dev, devfn) == 8 &&
              offsetof(kvm_assigned_pci_dev, flags) == 12 &&
              offsetof(kvm_assigned_pci_dev, segnr) == 16 &&
              offsetof(kvm_assigned_pci_dev, reserved) == 20);

inline constexpr std::uint32_t KVM_DEV_ASSIGN_ENABLE_IOMMU = 1U << 0;
inline constexpr std::uint32_t KVM_DEV_ASSIGN_PCI_2_3 = 1U << 1;
inline constexpr std::uint32_t KVM_DEV_ASSIGN_MASK_INTX = 1U << 2;

struct kvm_assigned_irq {
    std::uint32_t assigned_dev_id;
    std::uint32_t host_irq;
    std::uint32_t guest_irq;
    std::uint32_t flags;  // KVM_DEV_IRQ_*
    std::uint32_t reserved[12];
};
static_assert(sizeof(kvm_assigned_irq) == 64 && offsetof(kvm_assigned_irq, host_irq) == 4 &&
              offsetof(kvm_assigned_irq, guest_irq) == 8 &&
              offsetof(kvm_assigned_irq, flags) == 12 &&
              offsetof(kvm_assigned_irq, reserved) == 16);

inline constexpr std::uint32_t KVM_DEV_IRQ_HOST_INTX = 1U << 0;
inline constexpr std::uint32_t KVM_DEV_IRQ_HOST_MSI = 1U << 1;
inline constexpr std::uint32_t KVM_DEV_IRQ_HOST_MSIX = 1U << 2;
inline constexpr std::uint32_t KVM_DEV_IRQ_GUEST_INTX = 1U << 8;
inline constexpr std::uint32_t KVM_DEV_IRQ_GUEST_MSI = 1U << 9;
inline constexpr std::uint32_t KVM_DEV_IRQ_GUEST_MSIX = 1U << 10;
inline constexpr std::uint32_t KVM_DEV_IRQ_HOST_MASK = 0x00ff;
inline constexpr std::uint32_t KVM_DEV_IRQ_GUEST_MASK = 0xff00;

struct kvm_assigned_msix_nr {
    std::uint32_t assigned_dev_id;
    std::uint16_t entry_nr;
    std::uint16_t padding;
};
static_assert(sizeof(kvm_assigned_msix_nr) == 8 && offsetof(kvm_assigned_msix_nr, entry_nr) == 4 &&
              offsetof(kvm_assigned_msix_nr, padding) == 6);

inline constexpr std::uint32_t KVM_MAX_MSIX_PER_DEV = 256;

struct kvm_assigned_msix_entry {
    std::uint32_t assigned_dev_id;
    std::uint32_t gsi;
    std::uint16_t entry;
    std::uint16_t padding[3];
};
static_assert(sizeof(kvm_assigned_msix_entry) == 16 &&
              offsetof(kvm_assigned_msix_entry, gsi) == 4 &&
              offsetof(kvm_assigned_msix_entry, entry) == 8 &&
              offsetof(kvm_assigned_msix_entry, padding) == 10);

// Encoded as a read, although it writes.
inline constexpr Request KVM_ASSIGN_PCI_DEVICE = ior<kvm_assigned_pci_dev>(KVMIO, 0x69);
// The first form, refused since the next one exists.
inline constexpr Request KVM_ASSIGN_IRQ = ior<kvm_assigned_irq>(KVMIO, 0x70);
inline constexpr Request KVM_ASSIGN_DEV_IRQ = iow<kvm_assigned_irq>(KVMIO, 0x70);
inline constexpr Request KVM_DEASSIGN_PCI_DEVICE = iow<kvm_assigned_pci_dev>(KVMIO, 0x72);
inline constexpr Request KVM_ASSIGN_SET_MSIX_NR = iow<kvm_assigned_msix_nr>(KVMIO, 0x73);
inline constexpr Request KVM_ASSIGN_SET_MSIX_ENTRY = iow<kvm_assigned_msix_entry>(KVMIO, 0x74);
inline constexpr Request KVM_DEASSIGN_DEV_IRQ = iow<kvm_assigned_irq>(KVMIO, 0x75);
inline constexpr Request KVM_ASSIGN_SET_INTX_MASK = iow<kvm_assigned_pci_dev>(KVMIO, 0xa4);

}  // namespace kvmiommu::uapi
