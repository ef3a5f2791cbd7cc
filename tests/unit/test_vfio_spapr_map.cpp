// SPDX-License-Identifier: MIT
//
// Mapping by a container of version 2: what a map that fails leaves behind.

#include <string>

#include "iommu/iommu.h"
#include "spapr/spapr.h"
#include "support.h"
#include "uapi/vfio.h"
#include "vfio/spapr/tce_container.h"

namespace kvmiommu::vfio {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint64_t kPage = 64 << 10;

struct Scene {
    Scene() {
        group.add_device(device);
        owned = value(iommu::DmaOwnership::of(group, this));
        container = value(driver.open(process.task, uapi::VFIO_SPAPR_TCE_v2_IOMMU));
        value(container->attach_group(process.task, group, GroupType::iommu));
    }
    ~Scene() {
        container->detach_group(group);
        container = nullptr;
    }

    template <class Request>
    std::string call(uapi::Request request, Request argument) {
        argument.argsz = sizeof argument;
        process.store(block, argument);
        return outcome(container->ioctl(process.task, request.number(uapi::Abi::power), block));
    }
    std::string map(std::uint64_t iova, std::uint64_t vaddr, std::uint64_t size) {
        uapi::vfio_iommu_type1_dma_map request{};
        request.flags = uapi::VFIO_DMA_MAP_FLAG_READ | uapi::VFIO_DMA_MAP_FLAG_WRITE;
        request.vaddr = vaddr;
        request.iova = iova;
        request.size = size;
        return call(uapi::VFIO_IOMMU_MAP_DMA, request);
    }
    std::string registered(uapi::Request request, std::uint64_t vaddr, std::uint64_t size) {
        uapi::vfio_iommu_spapr_register_memory memory{};
        memory.vaddr = vaddr;
        memory.size = size;
        return call(request, memory);
    }

    Machine machine{{.page_size = kPage, .arch = fs::Arch::ppc64le}};
    Process process{machine};
    const std::uint64_t block = process.map(kPage);
    spapr::TceOps ops{spapr::Platform::powernv, machine.census(), machine.memory(), kPage};
    const iommu::IommuDevice bridge{.name = "phb0",
                                    .address_width = 64,
                                    .page_sizes = kPage,
                                    .window_size = std::uint64_t{1} << 30,
                                    .table_levels = 5,
                                    .reserved = {}};
    iommu::Device device{"0001:01:00.0", ops, bridge};
    iommu::Group group{1};
    iommu::DmaOwnership owned;
    TceDriver driver{machine.kernel, false};
    Ref<IommuBackend> container;
};

TEST_CASE("a map that fails past the end of its window leaves nothing there, nor a region busy") {
    Scene scene;
    const std::uint64_t memory = scene.process.map(4 * kPage);
    CHECK(scene.registered(uapi::VFIO_IOMMU_SPAPR_REGISTER_MEMORY, memory, 4 * kPage) == "ok");
    // The default window goes, so that the one with levels is the first.
    CHECK(scene.call(uapi::VFIO_IOMMU_SPAPR_TCE_REMOVE, uapi::vfio_iommu_spapr_tce_remove{}) ==
          "ok");
    uapi::vfio_iommu_spapr_tce_create window{};
    window.page_shift = 16;
    window.window_size = 1 << 30;
    window.levels = 2;
    CHECK(scene.call(uapi::VFIO_IOMMU_SPAPR_TCE_CREATE, window) == "ok");
    const auto table = spapr::table_group_of(scene.group)->table(0);
    REQUIRE(table);
    const std::uint64_t end = table->offset() + table->size();
    REQUIRE_FALSE(table->refuses(end + 4));  // its levels reach further

    // Two pages of the window, two beyond it, and then memory that is not registered.
    CHECK(scene.map((end - 2) * kPage, memory, 5 * kPage) == "EINVAL");
    for (std::uint64_t page = end - 2; page < end + 3; ++page) {
        CHECK(table->get(page).entry() == 0);
    }
    // Nothing but its registration counts.
    const auto region = spapr::RegisteredMemory::of(*scene.process.mm).find(memory, 4 * kPage);
    REQUIRE(region);
    CHECK(region->mapped() == 1);
    CHECK(scene.map((end - 1) * kPage, memory, kPage) == "ok");
    CHECK(region->mapped() == 2);
    uapi::vfio_iommu_type1_dma_unmap unmap{};
    unmap.iova = (end - 1) * kPage;
    unmap.size = kPage;
    CHECK(scene.call(uapi::VFIO_IOMMU_UNMAP_DMA, unmap) == "ok");
    CHECK(region->mapped() == 1);
    CHECK(scene.registered(uapi::VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, memory, 4 * kPage) == "ok");
}

}  // namespace
}  // namespace kvmiommu::vfio
