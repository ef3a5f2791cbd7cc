// SPDX-License-Identifier: MIT

#include "kvm/module.h"

#include "fs/ioctl.h"
#include "fs/ioctl_table.h"
#include "kvm/memory_slots.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"
#include "uapi/kvm.h"
#include "uapi/kvm_2013.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kIoctl{"virt/kvm/kvm_main.c: kvm_dev_ioctl"};
constexpr Source kCreateVm{"virt/kvm/kvm_main.c: kvm_create_vm"};

constexpr fs::IoctlRow<Module> kRows[] = {
    fs::value_row<&Module::get_api_version>(uapi::KVM_GET_API_VERSION),
    fs::value_row<&Module::check_extension>(uapi::KVM_CHECK_EXTENSION),
    fs::value_row<&Module::create_vm>(uapi::KVM_CREATE_VM),
    fs::value_row<&Module::get_vcpu_mmap_size>(uapi::KVM_GET_VCPU_MMAP_SIZE),
};

// Pages of a vcpu that user space maps: kvm_run, on all but POWER one of coalesced MMIO, on x86 one
// of port I/O (kvm_dev_ioctl: KVM_GET_VCPU_MMAP_SIZE).
constexpr std::uint64_t shared_pages(fs::Arch arch) {
    switch (arch) {
        case fs::Arch::x86_64:
            return 3;
        case fs::Arch::ppc64le:
            return 1;
        case fs::Arch::aarch64:
        case fs::Arch::riscv64:
            return 2;
    }
    return 1;
}

constexpr fs::IoctlTable<Module> kTable{kRows,
                                        {EINVAL, "request {:x} means nothing to /dev/kvm", kIoctl}};

}  // namespace

Module::Module(fs::Kernel& kernel, std::optional<VfioSymbols> vfio, Options options)
    : kernel_(kernel), vfio_(vfio), options_(options) {
    kernel_.nodes().add("/dev/kvm", 0666, [this](fs::Task&, int flags) -> Result<Ref<fs::File>> {
        return make<ModuleFile>(*this, flags);
    });
}

Result<std::int64_t> Module::get_api_version(fs::Task&, std::uint64_t argument) {
    if (argument != 0) {
        return refuse(EINVAL, "the request takes no argument, {:x} was given", kIoctl, argument);
    }
    return uapi::KVM_API_VERSION;
}

Result<std::int64_t> Module::check_extension(fs::Task&, std::uint64_t capability) {
    switch (capability) {
        case uapi::KVM_CAP_USER_MEMORY:
        case uapi::KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
        case uapi::KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
        case uapi::KVM_CAP_DEVICE_CTRL:
        case uapi::KVM_CAP_CHECK_EXTENSION_VM:
            return 1;
        case uapi::KVM_CAP_SET_BOOT_CPU_ID:
            return kernel_.arch() == fs::Arch::x86_64;
        case uapi::KVM_CAP_READONLY_MEM:
            return kernel_.abi() != uapi::Abi::power;
        case uapi::KVM_CAP_PPC_ENABLE_HCALL:
        case uapi::KVM_CAP_SPAPR_TCE_64:
        case uapi::KVM_CAP_SPAPR_TCE_VFIO:
        case uapi::KVM_CAP_ENABLE_CAP_VM:
            return kernel_.abi() == uapi::Abi::power && !options_.proposals.links_of_2013();
        case uapi::KVM_CAP_SPAPR_TCE_IOMMU:
            return proposes(fs::Proposal::spapr_tce_iommu_ioctl) ||
                   proposes(fs::Proposal::spapr_tce_iommu_device);
        case uapi::KVM_CAP_PPC_PAPR:
        case uapi::KVM_CAP_SPAPR_TCE:
        case uapi::KVM_CAP_SPAPR_MULTITCE:
        case uapi::KVM_CAP_ENABLE_CAP:
        case uapi::KVM_CAP_IMMEDIATE_EXIT:
            return kernel_.abi() == uapi::Abi::power;
        case uapi::KVM_CAP_NR_MEMSLOTS:
            return user_memory_slots(kernel_.arch());
        case uapi::KVM_CAP_MAX_VCPUS:
            return kernel_.abi() == uapi::Abi::power ? kMostVcpus : 0;
        case uapi::KVM_CAP_MAX_VCPU_ID:
            return kernel_.abi() == uapi::Abi::power ? kVcpuIds : 0;
        case uapi::KVM_CAP_NR_VCPUS:
            return kernel_.abi() == uapi::Abi::power ? 1 : 0;
        default:
            return 0;
    }
}

Result<std::int64_t> Module::get_vcpu_mmap_size(fs::Task&, std::uint64_t argument) {
    if (argument != 0) {
        return refuse(EINVAL, "the request takes no argument, {:x} was given", kIoctl, argument);
    }
    return static_cast<std::int64_t>(shared_pages(kernel_.arch()) * kernel_.page_size());
}

Result<std::int64_t> Module::create_vm(fs::Task& task, std::uint64_t type) {
    const int fd = TRY(task.files().get_unused_fd(task.limit(fs::Resource::nofile)));
    // On POWER type 1 is KVM_VM_PPC_HV, which is also the default.
    if (type != 0 && (type != 1 || kernel_.abi() != uapi::Abi::power)) {
        task.files().put_unused_fd(fd);
        return refuse(EINVAL, "type {:x} is not known, 0 is", kCreateVm, type);
    }
    if (task.faults().fails()) {
        task.files().put_unused_fd(fd);
        return refuse(ENOMEM, "told to fail", kCreateVm);
    }
    task.files().fd_install(fd, make<VmFile>(make<Vm>(*this, task.grab_mm())));
    return fd;
}

ModuleFile::ModuleFile(Module& module, int flags)
    : File(module.kernel(), "/dev/kvm", flags, true), module_(module) {}

Result<std::int64_t> ModuleFile::ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) {
    return kTable.ioctl(module_, task, command, argument);
}

}  // namespace kvmiommu::kvm
