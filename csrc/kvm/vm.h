// SPDX-License-Identifier: MIT
//
// A virtual machine (virt/kvm/kvm_main.c: struct kvm).

#pragma once

#include <cstdint>
#include <vector>

#include "base/base.h"
#include "fs/file.h"
#include "fs/ioctl.h"
#include "kvm/device.h"
#include "kvm/memory_slots.h"
#include "kvm/module.h"
#include "mm/mm.h"
#include "uapi/kvm.h"

namespace kvmiommu::kvm {

class Vm final : public RefCounted {
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

    // --- for devices ---

    void forget(const Device& device) EXCLUDES(mutex_);
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

  private:
    Module& module_;
    Ref<mm::AddressSpace> mm_{"kvm.mm"};
    mutable Mutex mutex_;
    MemorySlots slots_ GUARDED_BY(mutex_);
    std::vector<const Device*> devices_ GUARDED_BY(mutex_);
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
