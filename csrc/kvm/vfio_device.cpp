// SPDX-License-Identifier: MIT

#include "kvm/vfio_device.h"

#include <algorithm>

#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {
constexpr Source kSet{"virt/kvm/vfio.c: kvm_vfio_set_attr"};
constexpr Source kAdd{"virt/kvm/vfio.c: kvm_vfio_file_add"};
constexpr Source kSpapr{"virt/kvm/vfio.c: kvm_vfio_file_set_spapr_tce"};
constexpr Source kRemove{"virt/kvm/vfio.c: kvm_vfio_file_del"};

std::unexpected<Refusal> no_attribute(const Device::Attribute& attribute) {
    return refuse(ENXIO, "there is no attribute {} in group {}", kSet, attribute.attr,
                  attribute.group);
}
}  // namespace

VfioDevice::VfioDevice(Vm& vm) : vm_(vm) {}

VfioDevice::~VfioDevice() {
    std::vector<KvmVfioFile> files;
    const Lock lock(mutex_);
    files.swap(file_list_);
    for (const KvmVfioFile& served : files) {
        release(served);
    }
    update_coherency();
}

Result<std::int64_t> VfioDevice::has_attribute(fs::Task&, const Attribute& attribute) {
    if (attribute.group == uapi::KVM_DEV_VFIO_FILE &&
        (attribute.attr == uapi::KVM_DEV_VFIO_FILE_ADD ||
         attribute.attr == uapi::KVM_DEV_VFIO_FILE_DEL ||
         (attribute.attr == uapi::KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE &&
          vm_.kernel().abi() == uapi::Abi::power))) {
        return 0;
    }
    return no_attribute(attribute);
}

Result<std::int64_t> VfioDevice::set_attribute(fs::Task& task, const Attribute& attribute) {
    TRY(has_attribute(task, attribute));
    if (attribute.attr == uapi::KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE) {
        TRY(set_spapr_tce(task, attribute.addr));
        return 0;
    }
    const std::int32_t fd = TRY(mm::UserPtr<std::int32_t>(attribute.addr).read(task.mm()));
    if (attribute.attr == uapi::KVM_DEV_VFIO_FILE_ADD) {
        TRY(add(task, fd));
    } else {
        TRY(remove(task, fd));
    }
    return 0;
}

Result<> VfioDevice::add(fs::Task& task, int fd) {
    const Ref<fs::File> file = TRY(task.files().get(fd));
    const VfioSymbols* const vfio = vm_.module().vfio();
    if (vfio == nullptr || !vfio->file_is_valid(*file)) {
        return refuse(EINVAL, "descriptor {} is not VFIO's, or VFIO is not loaded", kAdd, fd);
    }
    const Lock lock(mutex_);
    if (find(*file) != file_list_.end()) {
        return refuse(EEXIST, "the file of descriptor {} was added already", kAdd, fd);
    }
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kAdd);
    }
    file_list_.push_back({file});
    vm_.start_assignment();
    vfio->file_set_kvm(*file, &vm_);
    update_coherency();
    return {};
}

Result<> VfioDevice::remove(fs::Task& task, int fd) {
    const Ref<fs::File> file = TRY(task.files().get(fd));
    const Lock lock(mutex_);
    const auto found = find(*file);
    if (found == file_list_.end()) {
        return refuse(ENOENT, "the file of descriptor {} was never added", kRemove, fd);
    }
    const KvmVfioFile served = std::move(*found);
    file_list_.erase(found);
    release(served);
    update_coherency();
    return {};
}

Result<> VfioDevice::set_spapr_tce(fs::Task& task, std::uint64_t address) {
    const auto request = TRY(mm::UserPtr<uapi::kvm_vfio_spapr_tce>(address).read(task.mm()));
    const Ref<fs::File> file = TRY(task.files().get(request.groupfd));
    Ref<fs::File> table;  // put after the lock
    const Lock lock(mutex_);
    const auto found = find(*file);
    if (found == file_list_.end()) {
        return refuse(ENOENT, "the file of descriptor {} was never added", kSpapr, request.groupfd);
    }
    if (found->group == nullptr) {
        const VfioSymbols* const vfio = vm_.module().vfio();
        found->group = vfio != nullptr ? vfio->file_iommu_group(*file) : nullptr;
    }
    if (found->group == nullptr) {
        return refuse(EIO, "the file of descriptor {} is no group", kSpapr, request.groupfd);
    }
    table = TRY(task.files().get(request.tablefd));
    return vm_.attach_tables(*table, *found->group);
}

std::vector<VfioDevice::KvmVfioFile>::iterator VfioDevice::find(const fs::File& file) {
    return std::find_if(file_list_.begin(), file_list_.end(),
                        [&](const KvmVfioFile& served) { return served.file.get() == &file; });
}

void VfioDevice::release(const KvmVfioFile& served) {
    vm_.end_assignment();
    if (served.group != nullptr) {
        vm_.release_tables(*served.group);
    }
    if (const VfioSymbols* const vfio = vm_.module().vfio()) {
        vfio->file_set_kvm(*served.file, nullptr);
    }
}

void VfioDevice::update_coherency() {
    const VfioSymbols* const vfio = vm_.module().vfio();
    const bool noncoherent =
        std::any_of(file_list_.begin(), file_list_.end(), [vfio](const KvmVfioFile& served) {
            return vfio != nullptr && !vfio->file_enforced_coherent(*served.file);
        });
    if (noncoherent == noncoherent_) {
        return;
    }
    noncoherent_ = noncoherent;
    if (noncoherent) {
        vm_.register_noncoherent_dma();
    } else {
        vm_.unregister_noncoherent_dma();
    }
}

}  // namespace kvmiommu::kvm
