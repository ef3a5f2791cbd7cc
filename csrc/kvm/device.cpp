// SPDX-License-Identifier: MIT

#include "kvm/device.h"

#include <utility>

#include "fs/ioctl_table.h"
#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kIoctl{"virt/kvm/kvm_main.c: kvm_device_ioctl"};
constexpr Source kMmap{"virt/kvm/kvm_main.c: kvm_device_mmap"};
constexpr Source kAttribute{"virt/kvm/kvm_main.c: kvm_device_ioctl_attr"};

constexpr fs::IoctlRow<DeviceFile> kRows[] = {
    fs::value_row<&DeviceFile::set_attribute>(uapi::KVM_SET_DEVICE_ATTR),
    fs::value_row<&DeviceFile::get_attribute>(uapi::KVM_GET_DEVICE_ATTR),
    fs::value_row<&DeviceFile::has_attribute>(uapi::KVM_HAS_DEVICE_ATTR),
};

constexpr fs::IoctlTable<DeviceFile> kTable{
    kRows, {ENOTTY, "request {:x} means nothing to a KVM device", kIoctl}};

std::unexpected<Refusal> no_accessor() {
    return refuse(EPERM, "the device has nothing of this kind", kAttribute);
}

Result<Device::Attribute> attribute_at(fs::Task& task, std::uint64_t address) {
    return mm::UserPtr<Device::Attribute>(address).read(task.mm());
}

}  // namespace

Result<std::int64_t> Device::set_attribute(fs::Task&, const Attribute&) {
    return no_accessor();
}
Result<std::int64_t> Device::get_attribute(fs::Task&, const Attribute&) {
    return no_accessor();
}
Result<std::int64_t> Device::has_attribute(fs::Task&, const Attribute&) {
    return no_accessor();
}

Result<std::int64_t> Device::check_group(const Attribute& attribute, std::uint32_t group) {
    if (attribute.group != group) {
        return refuse(ENXIO, "there is no attribute group {}, {} is the one", kAttribute,
                      attribute.group, group);
    }
    return 0;
}

Result<fs::FileMapping> Device::mmap(fs::Task&, const fs::FileMapRequest&) {
    return refuse(ENODEV, "the device cannot be mapped", kMmap);
}

DeviceFile::DeviceFile(Ref<Vm> vm, std::unique_ptr<Device> device)
    : File(vm->kernel(), "kvm-device", O_RDWR, false), device_(std::move(device)) {
    vm_ = std::move(vm);
}

DeviceFile::~DeviceFile() {
    vm_->forget(*device_);
    // Destroyed first: its destructor uses the Vm.
    device_.reset();
}

Result<std::int64_t> DeviceFile::ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) {
    TRY(vm_->check_mm(task));
    return kTable.ioctl(*this, task, command, argument);
}

Result<std::int64_t> DeviceFile::set_attribute(fs::Task& task, std::uint64_t argument) {
    if (!device_->sets()) {
        return no_accessor();
    }
    return device_->set_attribute(task, TRY(attribute_at(task, argument)));
}

Result<std::int64_t> DeviceFile::get_attribute(fs::Task& task, std::uint64_t argument) {
    if (!device_->gets()) {
        return no_accessor();
    }
    return device_->get_attribute(task, TRY(attribute_at(task, argument)));
}

Result<std::int64_t> DeviceFile::has_attribute(fs::Task& task, std::uint64_t argument) {
    if (!device_->has()) {
        return no_accessor();
    }
    return device_->has_attribute(task, TRY(attribute_at(task, argument)));
}

}  // namespace kvmiommu::kvm
