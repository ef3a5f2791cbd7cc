// SPDX-License-Identifier: MIT
//
// KVM's VFIO pseudo device, with a VFIO of the test's own behind the symbols: what KVM asks, when,
// and what it concludes.

#include <fcntl.h>

#include <map>
#include <vector>

#include "fs/null_file.h"
#include "kvm/kvm.h"
#include "kvm/vfio_device.h"
#include "support.h"
#include "uapi/kvm.h"

namespace kvmiommu::kvm {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

/// A file that the fake VFIO knows.
class FakeGroup final : public fs::File {
  public:
    FakeGroup(fs::Kernel& kernel, bool is_coherent)
        : File(kernel, "fake group", O_RDWR, true), coherent(is_coherent) {}
    const bool coherent;
    std::vector<RefCounted*> told;  // every set_kvm(), in order
};

constexpr VfioSymbols kFake{
    .file_is_valid = [](fs::File& file) { return dynamic_cast<FakeGroup*>(&file) != nullptr; },
    .file_enforced_coherent =
        [](fs::File& file) { return dynamic_cast<FakeGroup&>(file).coherent; },
    .file_set_kvm = [](fs::File& file,
                       RefCounted* kvm) { dynamic_cast<FakeGroup&>(file).told.push_back(kvm); },
    .file_iommu_group = [](fs::File&) -> iommu::Group* { return nullptr; },
    .group_get_external_user = nullptr,  // of 2013
    .group_put_external_user = nullptr,
    .group_tce_table = nullptr,
};

struct Scene {
    explicit Scene(std::optional<VfioSymbols> symbols) : module(machine.kernel, symbols) {}

    int open(bool coherent) {
        const auto file = make<FakeGroup>(machine.kernel, coherent);
        files.push_back(file.get());
        return value(process.task.files().install(file, 1024));
    }
    std::string set(std::uint64_t attribute, int fd) {
        process.store(block, fd);
        return outcome(device.set_attribute(
            process.task,
            {.flags = 0, .group = uapi::KVM_DEV_VFIO_FILE, .attr = attribute, .addr = block}));
    }
    std::string add(int fd) { return set(uapi::KVM_DEV_VFIO_FILE_ADD, fd); }
    std::string remove(int fd) { return set(uapi::KVM_DEV_VFIO_FILE_DEL, fd); }

    Machine machine;
    Process process{machine};
    Module module;
    Ref<Vm> vm = make<Vm>(module, process.task.grab_mm());
    VfioDevice device{*vm};
    std::vector<FakeGroup*> files;
    const std::uint64_t block = process.map(4096);
};

TEST_CASE("every file counts as an assigned device, and is told of the virtual machine") {
    Scene scene(kFake);
    const int first = scene.open(true);
    const int second = scene.open(true);
    CHECK(scene.add(first) == "ok");
    CHECK(scene.add(second) == "ok");
    CHECK(scene.vm->assigned_devices() == 2);
    CHECK(scene.add(first) == "EEXIST");
    CHECK(scene.vm->assigned_devices() == 2);
    CHECK(scene.files[0]->told == std::vector<RefCounted*>{scene.vm.get()});
    CHECK(scene.remove(first) == "ok");
    CHECK(scene.remove(first) == "ENOENT");
    CHECK(scene.files[0]->told == std::vector<RefCounted*>{scene.vm.get(), nullptr});
    CHECK(scene.vm->assigned_devices() == 1);
}

TEST_CASE("one file that may not snoop makes the machine's DMA noncoherent, once") {
    Scene scene(kFake);
    const int coherent = scene.open(true);
    const int first = scene.open(false);
    const int second = scene.open(false);
    CHECK(scene.add(coherent) == "ok");
    CHECK_FALSE(scene.vm->has_noncoherent_dma());
    CHECK(scene.add(first) == "ok");
    CHECK(scene.add(second) == "ok");
    CHECK(scene.vm->has_noncoherent_dma());
    CHECK(scene.remove(first) == "ok");
    CHECK(scene.vm->has_noncoherent_dma());
    CHECK(scene.remove(second) == "ok");
    CHECK_FALSE(scene.vm->has_noncoherent_dma());
}

TEST_CASE("a device that goes lets every file go") {
    Machine machine;
    Process process{machine};
    Module module{machine.kernel, kFake};
    const auto vm = make<Vm>(module, process.task.grab_mm());
    const auto file = make<FakeGroup>(machine.kernel, false);
    const int fd = value(process.task.files().install(file, 1024));
    const std::uint64_t block = process.map(4096);
    process.store(block, fd);
    {
        VfioDevice device{*vm};
        CHECK(outcome(device.set_attribute(process.task, {.flags = 0,
                                                          .group = uapi::KVM_DEV_VFIO_FILE,
                                                          .attr = uapi::KVM_DEV_VFIO_FILE_ADD,
                                                          .addr = block})) == "ok");
        CHECK(file->references() == 3);  // the descriptor's, the device's and ours
        CHECK(vm->has_noncoherent_dma());
    }
    CHECK(file->references() == 2);
    CHECK(file->told == std::vector<RefCounted*>{vm.get(), nullptr});
    CHECK(vm->assigned_devices() == 0);
    CHECK_FALSE(vm->has_noncoherent_dma());
}

TEST_CASE("what is not VFIO's is refused, and so is everything without VFIO") {
    Scene with(kFake);
    CHECK(with.add(value(with.process.task.files().install(
              make<fs::NullFile>(with.machine.kernel, O_RDWR), 1024))) == "EINVAL");
    CHECK(with.add(-1) == "EBADF");
    CHECK(with.remove(-1) == "EBADF");
    Scene without(std::nullopt);
    CHECK(without.add(without.open(true)) == "EINVAL");
    CHECK(without.vm->assigned_devices() == 0);
}

TEST_CASE("attributes: the number is looked at before the descriptor") {
    Scene scene(kFake);
    CHECK(scene.set(3, -1) == "ENXIO");
    const auto has = [&](std::uint32_t group, std::uint64_t attribute) {
        return outcome(scene.device.has_attribute(
            scene.process.task, {.flags = 0, .group = group, .attr = attribute, .addr = 0}));
    };
    CHECK(has(1, 1) == "ok");
    CHECK(has(1, 2) == "ok");
    CHECK(has(1, 3) == "ENXIO");
    CHECK(has(0, 1) == "ENXIO");
    CHECK_FALSE(scene.device.gets());
}

}  // namespace
}  // namespace kvmiommu::kvm
