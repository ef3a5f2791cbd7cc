// SPDX-License-Identifier: MIT

#include "kvm/vm.h"

#include <algorithm>
#include <cassert>
#include <memory>
#include <utility>

#include "fs/ioctl_table.h"
#include "kvm/device_types.h"
#include "kvm/hypercalls.h"
#include "uapi/kvm_2013.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kIoctl{"virt/kvm/kvm_main.c: kvm_vm_ioctl"};
constexpr Source kCreateDevice{"virt/kvm/kvm_main.c: kvm_ioctl_create_device"};

constexpr fs::IoctlRow<Vm> kRows[] = {
    fs::value_row<&Vm::check_extension>(uapi::KVM_CHECK_EXTENSION),
    fs::kvm_row<&Vm::set_user_memory_region>(uapi::KVM_SET_USER_MEMORY_REGION),
    fs::kvm_row<&Vm::create_device>(uapi::KVM_CREATE_DEVICE, fs::Reply::success),
};

constexpr fs::IoctlRow<Vm> kX86Rows[] = {
    fs::value_row<&Vm::set_boot_cpu_id>(uapi::KVM_SET_BOOT_CPU_ID),
};

constexpr fs::IoctlRow<Vm> kPowerRows[] = {
    fs::value_row<&Vm::check_extension>(uapi::KVM_CHECK_EXTENSION),
    fs::kvm_row<&Vm::set_user_memory_region>(uapi::KVM_SET_USER_MEMORY_REGION),
    fs::kvm_row<&Vm::create_device>(uapi::KVM_CREATE_DEVICE, fs::Reply::success),
    fs::value_row<&Vm::create_vcpu>(uapi::KVM_CREATE_VCPU),
    fs::kvm_row<&Vm::enable_cap>(uapi::KVM_ENABLE_CAP),
    fs::kvm_row<&Vm::create_spapr_tce>(uapi::KVM_CREATE_SPAPR_TCE),
    fs::kvm_row<&Vm::create_spapr_tce_64>(uapi::KVM_CREATE_SPAPR_TCE_64),
};

constexpr fs::IoctlRow<Vm> kPowerRowsOf2013[] = {
    fs::value_row<&Vm::check_extension>(uapi::KVM_CHECK_EXTENSION),
    fs::kvm_row<&Vm::set_user_memory_region>(uapi::KVM_SET_USER_MEMORY_REGION),
    fs::kvm_row<&Vm::create_device>(uapi::KVM_CREATE_DEVICE, fs::Reply::success),
    fs::value_row<&Vm::create_vcpu>(uapi::KVM_CREATE_VCPU),
    fs::kvm_row<&Vm::create_spapr_tce>(uapi::KVM_CREATE_SPAPR_TCE),
};

constexpr fs::IoctlRow<Vm> kSpaprTceIommuRows[] = {
    fs::kvm_row<&Vm::create_spapr_tce_iommu>(uapi::KVM_CREATE_SPAPR_TCE_IOMMU),
};

constexpr fs::UnknownRequest kUnknown{ENOTTY, "request {:x} means nothing to a virtual machine",
                                      kIoctl};
// What is unknown to the common part goes to the architecture's, which has an errno of its own.
constexpr fs::UnknownRequest kUnknownOfArch{
    EINVAL,
    "request {:x} means nothing to a virtual machine of this architecture",
    {"arch/arm64/kvm/arm.c, arch/riscv/kvm/vm.c: kvm_arch_vm_ioctl"}};
constexpr fs::IoctlTable<Vm> kTable{kRows, kUnknownOfArch};
constexpr fs::IoctlTable<Vm> kCommon{kRows, kUnknown};
constexpr fs::IoctlTable<Vm> kX86{kX86Rows, kUnknown, &kCommon};
constexpr fs::IoctlTable<Vm> kPower{kPowerRows, kUnknown};
constexpr fs::IoctlTable<Vm> kPowerOf2013{kPowerRowsOf2013, kUnknown};
constexpr fs::IoctlTable<Vm> kSpaprTceIommu{kSpaprTceIommuRows, kUnknown, &kPowerOf2013};

// The requests depend on the machine's architecture and on its proposals.
const fs::IoctlTable<Vm>& table_of(Vm& vm) {
    Module& module = vm.module();
    if (module.kernel().arch() == fs::Arch::x86_64) {
        return kX86;
    }
    if (module.kernel().arch() != fs::Arch::ppc64le) {
        return kTable;
    }
    if (!module.options().proposals.links_of_2013()) {
        return kPower;
    }
    return module.proposes(fs::Proposal::spapr_tce_iommu_ioctl) ? kSpaprTceIommu : kPowerOf2013;
}

}  // namespace

Vm::Vm(Module& module, Ref<mm::AddressSpace> mm)
    : GuestTableOwner(module.kernel().census(), "kvm"),
      module_(module),
      slots_(module.kernel().page_size(), user_memory_slots(module.kernel().arch()),
             memory_slot_flags(module.kernel().arch())) {
    mm_ = std::move(mm);
    const Lock lock(mutex_);
    for (const std::uint32_t call : kEnabledHypercalls) {
        enabled_hypercalls_.set(call / 4);
    }
}

Result<> Vm::check_mm(fs::Task& task) const {
    if (mm_.get() != &task.mm()) {
        return refuse(EIO, "the virtual machine belongs to another process", kIoctl);
    }
    return {};
}

Result<std::int64_t> Vm::check_extension(fs::Task& task, std::uint64_t capability) {
    return module_.check_extension(task, capability);
}

Result<std::int64_t> Vm::set_user_memory_region(
    fs::Block<uapi::kvm_userspace_memory_region> region) {
    const Lock lock(mutex_);
    TRY(slots_.set(*region));
    return 0;
}

Result<std::int64_t> Vm::create_device(fs::Block<uapi::kvm_create_device> create) {
    const DeviceType* const type = device_type(module_, create->type);
    if (type == nullptr) {
        return refuse(ENODEV, "there are no devices of type {}", kCreateDevice, create->type);
    }
    if ((create->flags & uapi::KVM_CREATE_DEVICE_TEST) != 0) {
        return 0;
    }
    fs::Task& task = create.task();
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kCreateDevice);
    }
    Ref<fs::File> file;
    {
        const Lock lock(mutex_);
        const bool has_one = std::any_of(devices_.begin(), devices_.end(),
                                         [type](const Made& made) { return made.type == type; });
        if (type->once != 0 && has_one) {
            return refuse(type->once, "a virtual machine has one device of type {}", type->create,
                          type->number);
        }
        file = add_device(*type, type->make(*this));
    }
    create->fd = static_cast<std::uint32_t>(
        TRY(task.files().install(std::move(file), task.limit(fs::Resource::nofile))));
    return 0;
}

Result<std::int64_t> Vm::set_boot_cpu_id(fs::Task&, std::uint64_t id) {
    const Lock lock(mutex_);
    boot_cpu_id_ = id;
    return 0;
}

Ref<DeviceFile> Vm::add_device(const DeviceType& type, std::unique_ptr<Device> device) {
    devices_.push_back({&type, device.get()});
    return make<DeviceFile>(Ref<Vm>(*this), std::move(device));
}

void Vm::forget(const Device& device) {
    const Lock lock(mutex_);
    std::erase_if(devices_, [&](const Made& made) { return made.device == &device; });
}

void Vm::start_assignment() {
    const Lock lock(mutex_);
    ++assigned_devices_;
}

void Vm::end_assignment() {
    const Lock lock(mutex_);
    assert(assigned_devices_ != 0);
    --assigned_devices_;
}

std::uint32_t Vm::assigned_devices() const {
    const Lock lock(mutex_);
    return assigned_devices_;
}

void Vm::register_noncoherent_dma() {
    const Lock lock(mutex_);
    ++noncoherent_dma_;
}

void Vm::unregister_noncoherent_dma() {
    const Lock lock(mutex_);
    assert(noncoherent_dma_ != 0);
    --noncoherent_dma_;
}

bool Vm::has_noncoherent_dma() const {
    const Lock lock(mutex_);
    return noncoherent_dma_ != 0;
}

VmFile::VmFile(Ref<Vm> vm) : File(vm->kernel(), "kvm-vm", O_RDWR, false) {
    vm_ = std::move(vm);
}

Result<std::int64_t> VmFile::ioctl(fs::Task& task, std::uint32_t command, std::uint64_t argument) {
    TRY(vm_->check_mm(task));
    return table_of(*vm_).ioctl(*vm_, task, command, argument);
}

}  // namespace kvmiommu::kvm
