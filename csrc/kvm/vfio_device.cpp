// SPDX-License-Identifier: MIT

#include "kvm/vfio_device.h"

#include <algorithm>

#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {
constexpr Source kSet{"virt/kvm/vfio.c: kvm_vfio_set_attr"};
constexpr Source kAdd{"virt/kvm/vfio.c: kvm_vfio_file_add"};
constexpr Source kRemove{"virt/kvm/vfio.c: kvm_vfio_file_del"};

std::unexpected<Refusal> no_attribute(const Device::Attribute& attribute) {
    return refuse(ENXIO, "there is no attribute {} in group {}", kSet, attribute.attr,
                  attribute.group);
}
}  // namespace

VfioDevice::VfioDevice(Vm& vm) : vm_(vm) {}

VfioDevice::~VfioDevice() {
    std::vector<Ref<fs::File>> files;
    const Lock lock(mutex_);
    files.swap(files_);
    for (const Ref<fs::File>& file : files) {
        let_go(*file);
    }
    update_coherency();
}

Result<std::int64_t> VfioDevice::has_attribute(fs::Task&, const Attribute& attribute) {
    if (attribute.group == uapi::KVM_DEV_VFIO_FILE &&
        (attribute.attr == uapi::KVM_DEV_VFIO_FILE_ADD ||
         attribute.attr == uapi::KVM_DEV_VFIO_FILE_DEL)) {
        return 0;
    }
    return no_attribute(attribute);
}

Result<std::int64_t> VfioDevice::set_attribute(fs::Task& task, const Attribute& attribute) {
    TRY(has_attribute(task, attribute));
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
    if (std::find(files_.begin(), files_.end(), file) != files_.end()) {
        return refuse(EEXIST, "the file of descriptor {} was added already", kAdd, fd);
    }
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kAdd);
    }
    files_.push_back(file);
    vm_.start_assignment();
    vfio->file_set_kvm(*file, &vm_);
    update_coherency();
    return {};
}

Result<> VfioDevice::remove(fs::Task& task, int fd) {
    const Ref<fs::File> file = TRY(task.files().get(fd));
    const Lock lock(mutex_);
    const auto found = std::find(files_.begin(), files_.end(), file);
    if (found == files_.end()) {
        return refuse(ENOENT, "the file of descriptor {} was never added", kRemove, fd);
    }
    files_.erase(found);
    let_go(*file);
    update_coherency();
    return {};
}

void VfioDevice::let_go(fs::File& file) {
    vm_.end_assignment();
    if (const VfioSymbols* const vfio = vm_.module().vfio()) {
        vfio->file_set_kvm(file, nullptr);
    }
}

void VfioDevice::update_coherency() {
    const VfioSymbols* const vfio = vm_.module().vfio();
    const bool noncoherent =
        std::any_of(files_.begin(), files_.end(), [vfio](const Ref<fs::File>& file) {
            return vfio != nullptr && !vfio->file_enforced_coherent(*file);
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
