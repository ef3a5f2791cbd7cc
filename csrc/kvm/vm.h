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
    /// EIO the task's address space is not the one that created the virtual machine
    Result<> check_mm(fs::Task& task) const;

    // --- requests ---

    /// As Module::check_extension().
    Result<std::int64_t> check_extension(fs::Task& task, std::uint64_t capability);
    /// What MemorySlots::set() says.
    Result<std::int64_t> set_user_memory_region(fs::Block<uapi::kvm_userspace_memory_region> region)
        EXCLUDES(mutex_);
    /// With KVM_CREATE_DEVICE_TEST only the first one, and no device is created.
    /// ENODEV the type is unknown
    /// ENOMEM an injected failure
    /// DeviceType::once the virtual machine has a device of a type that it can have once
    /// EBADF the process has exited
    /// EMFILE RLIMIT_NOFILE descriptors are open
    Result<std::int64_t> create_device(fs::Block<uapi::kvm_create_device> create) EXCLUDES(mutex_);
    /// Does not fail.
    Result<std::int64_t> set_boot_cpu_id(fs::Task& task, std::uint64_t id) EXCLUDES(mutex_);

    // --- requests on POWER ---

    /// Returns the descriptor of a new vcpu.
    /// EINVAL the id is too large
    /// and what Vcpu::create() says
    /// EINVAL there is a vcpu with this id
    /// EBADF the process has exited
    /// EMFILE RLIMIT_NOFILE descriptors are open
    Result<std::int64_t> create_vcpu(fs::Task& task, std::uint64_t id) EXCLUDES(mutex_);
    /// KVM_ENABLE_CAP of KVM_CAP_PPC_ENABLE_HCALL.
    /// EINVAL flags are set, or another capability
    /// EINVAL the kernel cannot handle the hypercall, or the value is neither 0 nor 1
    Result<std::int64_t> enable_cap(fs::Block<uapi::kvm_enable_cap> cap) EXCLUDES(mutex_);
    /// Returns the descriptor of a new table.
    /// and what GuestTable::create() says
    /// EBUSY the bus has a table or a link
    /// EBADF the process has exited
    /// EMFILE RLIMIT_NOFILE descriptors are open
    Result<std::int64_t> create_spapr_tce(fs::Block<uapi::kvm_create_spapr_tce> create)
        EXCLUDES(mutex_);
    /// EINVAL flags are set
    /// and what create_spapr_tce() says
    Result<std::int64_t> create_spapr_tce_64(fs::Block<uapi::kvm_create_spapr_tce_64> create)
        EXCLUDES(mutex_);
    /// Of 2013: returns the descriptor of a link.
    /// and what TceLink::create() says
    /// EBADF the process has exited
    /// EMFILE RLIMIT_NOFILE descriptors are open
    Result<std::int64_t> create_spapr_tce_iommu(fs::Block<uapi::kvm_create_spapr_tce_iommu> create)
        EXCLUDES(mutex_);

    // --- for vcpus ---

    /// Returns r3 and where the hypercall was handled; H_GET_TCE also sets r4.
    spapr::HypercallOutcome hypercall(fs::Task& task, const Hypercall& call, std::uint64_t& r4)
        EXCLUDES(mutex_);

    /// The entries in the tables of the guest's buses.
    std::vector<spapr::TableState> table_states() const EXCLUDES(mutex_);

    // --- for devices ---

    /// Links a guest's table to the group's hardware table that covers it.
    /// (kvm_spapr_tce_attach_iommu_group)
    /// EINVAL the file is not a TCE table of this virtual machine
    /// EFAULT the group has no windows
    /// EINVAL no window of the group covers the table
    Result<> attach_tables(fs::File& table, const iommu::Group& group) EXCLUDES(mutex_);
    /// Unlinks the hardware tables of a group. (kvm_spapr_tce_release_iommu_group)
    void release_tables(const iommu::Group& group) EXCLUDES(mutex_);

    void forget(const Device& device) EXCLUDES(mutex_);
    /// Creates a table without a descriptor.
    /// and what GuestTable::create() says
    /// EBUSY the bus has a table or a link
    Result<Ref<spapr::GuestTable>> make_table(fs::Task& task,
                                              const uapi::kvm_create_spapr_tce& window)
        EXCLUDES(mutex_);
    /// EBUSY the bus has a table or a link
    Result<> check_bus_free(std::uint64_t liobn) const EXCLUDES(mutex_);
    /// EBUSY the bus has a table or a link
    Result<> add_link(const spapr::LinkedTable& table) EXCLUDES(mutex_);
    /// Does nothing for a link that was not added.
    void remove_link(const spapr::LinkedTable& table) EXCLUDES(mutex_);
    /// Counts the devices that are assigned to the virtual machine, for posted interrupts.
    /// (kvm_arch_start_assignment, kvm_arch_end_assignment)
    void start_assignment() EXCLUDES(mutex_);
    void end_assignment() EXCLUDES(mutex_);
    std::uint32_t assigned_devices() const EXCLUDES(mutex_);
    /// Counts sources of DMA that does not snoop the caches: with one the guest's WBINVD and memory
    /// types must be honoured. (kvm_arch_register_noncoherent_dma)
    void register_noncoherent_dma() EXCLUDES(mutex_);
    void unregister_noncoherent_dma() EXCLUDES(mutex_);
    bool has_noncoherent_dma() const EXCLUDES(mutex_);

    // --- for tables ---

    void forget(spapr::GuestTable& table) override EXCLUDES(mutex_);
    mm::AddressSpace& mm() override { return *mm_; }

  private:
    // Called within a hypercall, with the lock held.
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
    /// EIO the task's address space is not the virtual machine's
    /// ENOTTY the request is unknown
    /// EFAULT the request's struct cannot be read
    /// and what the request says: Vm
    /// EFAULT the struct cannot be written back
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;

  private:
    Ref<Vm> vm_{"kvm-vm"};
};

}  // namespace kvmiommu::kvm
