// SPDX-License-Identifier: MIT
//
// A virtual machine (virt/kvm/kvm_main.c: struct kvm).

#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/base.h"
#include "fs/file.h"
#include "fs/ioctl.h"
#include "kvm/device.h"
#include "kvm/lock_order.h"
#include "kvm/memory_slots.h"
#include "kvm/module.h"
#include "kvm/vcpu.h"
#include "mm/mm.h"
#include "spapr/spapr.h"
#include "uapi/kvm.h"
#include "uapi/kvm_2013.h"

namespace kvmiommu::kvm {

struct DeviceType;

/// Hypercalls of PAPR, whose numbers are multiples of four (MAX_HCALL_OPCODE).
inline constexpr std::size_t kHypercalls = 0x488 / 4 + 1;

class Vm final : public spapr::GuestTableOwner, private spapr::GuestMemory {
  public:
    Vm(Module& module, Ref<mm::AddressSpace> mm);

    Module& module() { return module_; }
    fs::Kernel& kernel() { return module_.kernel(); }
    /// EIO for a call from another address space than the one that made it.
    Result<> check_mm(fs::Task& task) const;

    // --- requests ---

    Result<std::int64_t> check_extension(fs::Task& task, std::uint64_t capability);
    Result<std::int64_t> set_user_memory_region(fs::Block<uapi::kvm_userspace_memory_region> region)
        EXCLUDES(mutex_);
    /// ENODEV no such type; KVM_CREATE_DEVICE_TEST makes nothing; EBUSY a second one of a kind that
    /// a Vm has once; EMFILE.
    Result<std::int64_t> create_device(fs::Block<uapi::kvm_create_device> create) EXCLUDES(mutex_);
    Result<std::int64_t> set_boot_cpu_id(fs::Task& task, std::uint64_t id) EXCLUDES(mutex_);

    // --- requests on POWER ---

    /// EINVAL an id that is too large, or there already; EMFILE.
    Result<std::int64_t> create_vcpu(fs::Task& task, std::uint64_t id) EXCLUDES(mutex_);
    /// KVM_CAP_PPC_ENABLE_HCALL. EINVAL flags, another capability, a hypercall that the kernel does
    /// not handle, neither off nor on.
    Result<std::int64_t> enable_cap(fs::Block<uapi::kvm_enable_cap> cap) EXCLUDES(mutex_);
    /// A descriptor of a new table. As GuestTable::create(); EBUSY a bus that has one; EMFILE.
    Result<std::int64_t> create_spapr_tce(fs::Block<uapi::kvm_create_spapr_tce> create)
        EXCLUDES(mutex_);
    /// As create_spapr_tce(); EINVAL flags.
    Result<std::int64_t> create_spapr_tce_64(fs::Block<uapi::kvm_create_spapr_tce_64> create)
        EXCLUDES(mutex_);
    /// Of 2013: a descriptor of a link. As TceLink::create(); EMFILE.
    Result<std::int64_t> create_spapr_tce_iommu(fs::Block<uapi::kvm_create_spapr_tce_iommu> create)
        EXCLUDES(mutex_);

    // --- for vcpus ---

    /// What comes back in r3, and from whom; r4 changes with some.
    spapr::HypercallOutcome hypercall(fs::Task& task, const Hypercall& call, std::uint64_t& r4)
        EXCLUDES(mutex_);

    /// What the guest's buses have in their tables.
    std::vector<spapr::TableState> table_states() const EXCLUDES(mutex_);

    // --- for devices ---

    /// Puts the hardware table that fits behind a guest's: EINVAL not a table of this machine, or
    /// none fits. (kvm_spapr_tce_attach_iommu_group)
    Result<> attach_tables(fs::File& table, const iommu::Group& group) EXCLUDES(mutex_);
    /// Takes the tables of a group from behind all. (kvm_spapr_tce_release_iommu_group)
    void release_tables(const iommu::Group& group) EXCLUDES(mutex_);

    void forget(const Device& device) EXCLUDES(mutex_);
    /// As create_spapr_tce(), without a descriptor.
    Result<Ref<spapr::GuestTable>> make_table(fs::Task& task,
                                              const uapi::kvm_create_spapr_tce& window)
        EXCLUDES(mutex_);
    /// EBUSY: the bus has a table or a link.
    Result<> check_bus_free(std::uint64_t liobn) const EXCLUDES(mutex_);
    Result<> add_link(const spapr::LinkedTable& table) EXCLUDES(mutex_);
    /// Of one that was never added, too.
    void remove_link(const spapr::LinkedTable& table) EXCLUDES(mutex_);
    /// A device that does DMA through an IOMMU serves the machine, or no longer does
    /// (kvm_arch_start_assignment). How many do is what posted interrupts go by.
    void start_assignment() EXCLUDES(mutex_);
    void end_assignment() EXCLUDES(mutex_);
    std::uint32_t assigned_devices() const EXCLUDES(mutex_);
    /// DMA that does not snoop the caches can reach the machine, or no longer can
    /// (kvm_arch_register_noncoherent_dma): the guest's WBINVD and memory types must then be taken
    /// seriously.
    void register_noncoherent_dma() EXCLUDES(mutex_);
    void unregister_noncoherent_dma() EXCLUDES(mutex_);
    bool has_noncoherent_dma() const EXCLUDES(mutex_);

    // --- for tables ---

    void forget(spapr::GuestTable& table) override EXCLUDES(mutex_);
    mm::AddressSpace& mm() override { return *mm_; }

  private:
    // Only while a hypercall is handled, with the lock held.
    std::optional<std::uint64_t> user_address(std::uint64_t guest) const override {
        mutex_.assert_held();
        return slots_.user_address(guest);
    }
    struct Made {
        const DeviceType* type;
        const Device* device;
    };
    Ref<DeviceFile> add_device(const DeviceType& type, std::unique_ptr<Device> device)
        REQUIRES(mutex_);
    Result<Ref<spapr::GuestTable>> add_table(fs::Task& task,
                                             const spapr::GuestTable::Window& window)
        EXCLUDES(mutex_);
    Result<std::int64_t> install(fs::Task& task, Ref<fs::File> file);
    Result<std::int64_t> create_table_device(fs::Task& task,
                                             const uapi::kvm_create_spapr_tce& window)
        EXCLUDES(mutex_);
    spapr::HypercallOutcome hypercall_2013(fs::Task& task, const Hypercall& call, std::uint64_t& r4)
        REQUIRES(mutex_);

    Module& module_;
    Ref<mm::AddressSpace> mm_{"kvm.mm"};
    mutable Mutex mutex_{lock_order::kVm};
    MemorySlots slots_ GUARDED_BY(mutex_);
    spapr::GuestTables tables_ GUARDED_BY(mutex_);
    std::bitset<kHypercalls> enabled_hypercalls_ GUARDED_BY(mutex_);
    std::vector<std::uint32_t> vcpu_ids_ GUARDED_BY(mutex_);
    std::vector<Made> devices_ GUARDED_BY(mutex_);
    std::uint64_t boot_cpu_id_ GUARDED_BY(mutex_) = 0;
    std::uint32_t assigned_devices_ GUARDED_BY(mutex_) = 0;
    std::uint32_t noncoherent_dma_ GUARDED_BY(mutex_) = 0;
};

class VmFile final : public fs::File {
  public:
    explicit VmFile(Ref<Vm> vm);

    Vm& vm() { return *vm_; }
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;

  private:
    Ref<Vm> vm_{"kvm-vm"};
};

}  // namespace kvmiommu::kvm
