// SPDX-License-Identifier: MIT
//
// Drivers that pin for themselves, at their worst: one that never gives up its pages.

#include <array>

#include "iommu/iommu.h"
#include "support.h"
#include "uapi/vfio.h"
#include "vfio/dma_user.h"
#include "vfio/module.h"
#include "vfio/type1/type1.h"

namespace kvmiommu::vfio {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kIova = 0x100000;

/// Counts what it is told, and keeps its pages.
class Stubborn final : public DmaUser {
  public:
    void dma_unmap(std::uint64_t iova, std::uint64_t size) override {
        ++told;
        CHECK(iova == kIova);
        CHECK(size == 2 * kPage);
    }
    int told = 0;
};

struct Scene {
    Machine machine;
    Process process{machine};
    const Options options;
    iommu::Group group{1};
    Ref<Type1> container = make<Type1>(machine.kernel, options, true, false);
    Stubborn driver;
    const std::uint64_t block = process.map(kPage);
    const std::uint64_t buffer = process.map(2 * kPage);

    Scene() {
        value(container->attach_group(process.task, group, GroupType::emulated));
        container->register_device(driver);
        const uapi::vfio_iommu_type1_dma_map request{
            .argsz = sizeof request, .flags = 3, .vaddr = buffer, .iova = kIova, .size = 2 * kPage};
        CHECK(call(uapi::VFIO_IOMMU_MAP_DMA, request) == "ok");
    }
    ~Scene() {
        container->unregister_device(driver);
        container->detach_group(group);
    }

    template <class Request>
    std::string call(uapi::Request request, const Request& argument) {
        process.store(block, argument);
        return outcome(container->ioctl(process.task, request.number(uapi::Abi::generic), block));
    }
    std::string pin(std::uint64_t iova, std::span<mm::PhysAddr> pages) {
        return outcome(container->pin_pages(process.task, iova, iommu::kRead, pages));
    }
};

TEST_CASE("a driver that keeps its pages is asked ten times, and then they are taken from it") {
    Scene scene;
    std::array<mm::PhysAddr, 2> pages{};
    CHECK(scene.pin(kIova, pages) == "ok");
    CHECK(scene.pin(kIova, pages) == "ok");
    CHECK(scene.machine.memory().total_pins() == 2);
    const uapi::vfio_iommu_type1_dma_unmap request{
        .argsz = sizeof request, .flags = 0, .iova = kIova, .size = 2 * kPage};
    CHECK(scene.call(uapi::VFIO_IOMMU_UNMAP_DMA, request) == "ok");
    CHECK(scene.driver.told == 10);
    CHECK(scene.machine.memory().total_pins() == 0);
    CHECK(scene.process.mm->locked_vm().pages() == 0);
    // What it gives back afterwards is nobody's any more.
    scene.container->unpin_pages(kIova, 2);
    CHECK(scene.machine.memory().total_pins() == 0);
}

TEST_CASE("a page that was pinned twice is given up with the second unpin") {
    Scene scene;
    std::array<mm::PhysAddr, 1> first{};
    std::array<mm::PhysAddr, 1> second{};
    CHECK(scene.pin(kIova, first) == "ok");
    CHECK(scene.pin(kIova, second) == "ok");
    CHECK(first == second);
    scene.container->unpin_pages(kIova, 1);
    CHECK(scene.machine.memory().total_pins() == 1);
    scene.container->unpin_pages(kIova, 1);
    CHECK(scene.machine.memory().total_pins() == 0);
}

TEST_CASE("more pages than a page has pointers are too many at once") {
    Scene scene;
    std::array<mm::PhysAddr, 513> pages{};
    CHECK(scene.pin(kIova, pages).starts_with("E2BIG"));
}

TEST_CASE("pins end with the process that mapped the memory") {
    Scene scene;
    scene.process.task.exit();
    std::array<mm::PhysAddr, 1> page{};
    CHECK(scene.pin(kIova, page).starts_with("ENODEV"));
}

TEST_CASE("nobody pins before a device is told of unmaps") {
    Scene scene;
    scene.container->unregister_device(scene.driver);
    std::array<mm::PhysAddr, 1> page{};
    CHECK(scene.pin(kIova, page).starts_with("EINVAL"));
}

}  // namespace
}  // namespace kvmiommu::vfio
