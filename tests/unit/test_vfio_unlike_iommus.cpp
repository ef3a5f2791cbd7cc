// SPDX-License-Identifier: MIT
//
// One type1 container in front of two kinds of IOMMU: a domain for each, the same mappings in both.

#include <map>

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/iommu.h"
#include "support.h"
#include "uapi/vfio.h"
#include "vfio/module.h"
#include "vfio/type1/type1.h"

namespace kvmiommu::vfio {
namespace {

using iommu::ReservedType;
using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint64_t k4K = 4096;
constexpr std::uint64_t k2M = std::uint64_t{2} << 20;
constexpr std::uint64_t kIntelSizes = 0x40201000;
constexpr std::uint64_t kAmdSizes = 0xfff7ffffff000;
constexpr std::uint64_t kAbove = std::uint64_t{1} << 50;  // beyond what the Intel unit translates

class Units {
  public:
    Units() {
        intel.add_device(intel_device_);
        second_intel.add_device(second_intel_device_);
        amd.add_device(amd_device_);
        for (iommu::Group* const group : {&intel, &second_intel, &amd}) {
            owned_.push_back(value(iommu::DmaOwnership::of(*group, this)));
        }
        container = make<Type1>(machine.kernel, options_, true, false);
    }
    ~Units() {
        container = nullptr;
        owned_.clear();
    }

    std::string join(iommu::Group& group) {
        return outcome(container->attach_group(process.task, group, GroupType::iommu));
    }
    void leave(iommu::Group& group) { container->detach_group(group); }

    std::string map(std::uint64_t iova, std::uint64_t address, std::uint64_t size) {
        const uapi::vfio_iommu_type1_dma_map request{
            .argsz = sizeof request, .flags = 3, .vaddr = address, .iova = iova, .size = size};
        return call(uapi::VFIO_IOMMU_MAP_DMA, request);
    }
    std::string unmap(std::uint64_t iova, std::uint64_t size) {
        const uapi::vfio_iommu_type1_dma_unmap request{
            .argsz = sizeof request, .flags = 0, .iova = iova, .size = size};
        return call(uapi::VFIO_IOMMU_UNMAP_DMA, request);
    }
    std::uint64_t pgsizes() {
        uapi::vfio_iommu_type1_info request{};
        request.argsz = 16;
        CHECK(call(uapi::VFIO_IOMMU_GET_INFO, request) == "ok");
        return process.load<uapi::vfio_iommu_type1_info>(block_).iova_pgsizes;
    }
    /// Where an iova leads the devices of both kinds; 0 when not to the same place.
    mm::PhysAddr both(std::uint64_t iova) {
        const mm::PhysAddr address = intel.domain()->iova_to_phys(iova);
        return address == amd.domain()->iova_to_phys(iova) ? address : 0;
    }

    Machine machine;
    Process process{machine};
    iommu::Group intel{1};
    iommu::Group second_intel{2};
    iommu::Group amd{3};
    Ref<Type1> container;

  private:
    template <class Request>
    std::string call(uapi::Request request, const Request& block) {
        process.store(block_, block);
        return outcome(container->ioctl(process.task, request.number(uapi::Abi::generic), block_));
    }

    const Options options_;
    iommu::IntelOps intel_ops_{machine.memory()};
    iommu::AmdOps amd_ops_{machine.memory()};
    const iommu::IommuDevice dmar_{.name = "dmar0",
                                   .page_sizes = kIntelSizes,
                                   .isolated_msi = true,
                                   .reserved = {{{0xfee00000, 0xfeefffff}, ReservedType::msi}}};
    const iommu::IommuDevice ivhd_{
        .name = "ivhd0",
        .address_width = 64,
        .page_sizes = kAmdSizes,
        .enforces_cache_coherency = true,
        .isolated_msi = true,
        .reserved = {{{0xfd00000000, 0xffffffffff}, ReservedType::reserved}}};
    iommu::Device intel_device_{"0000:00:01.0", intel_ops_, dmar_};
    iommu::Device second_intel_device_{"0000:00:02.0", intel_ops_, dmar_};
    iommu::Device amd_device_{"0000:00:03.0", amd_ops_, ivhd_};
    const std::uint64_t block_ = process.map(k4K);
    std::vector<iommu::DmaOwnership> owned_;
};

TEST_CASE("what is mapped, before or after a group joins, is mapped for both kinds") {
    Units units;
    const std::uint64_t buffer = units.process.map(4 * k2M);
    REQUIRE(units.join(units.intel) == "ok");
    CHECK(units.pgsizes() == kIntelSizes);
    CHECK(units.map(k2M, buffer, 3 * k4K) == "ok");
    REQUIRE(units.join(units.amd) == "ok");
    CHECK(units.intel.domain() != units.amd.domain());
    CHECK(units.pgsizes() == (kIntelSizes & kAmdSizes));
    CHECK(units.map(8 * k2M, buffer, 4 * k2M) == "ok");
    for (const std::uint64_t iova : {k2M, k2M + 2 * k4K, 8 * k2M, 12 * k2M - k4K}) {
        CHECK(units.both(iova) != 0);
    }
    CHECK(units.unmap(k2M, 3 * k4K) == "ok");
    CHECK(units.intel.domain()->iova_to_phys(k2M) == 0);
    CHECK(units.amd.domain()->iova_to_phys(k2M) == 0);
    CHECK(units.both(8 * k2M) != 0);
}

TEST_CASE("groups of one kind share a domain, which the last of them takes along") {
    Units units;
    const std::uint64_t buffer = units.process.map(k2M);
    REQUIRE(units.join(units.amd) == "ok");
    CHECK(units.map(k2M, buffer, k2M) == "ok");
    const std::uint64_t frames = units.machine.memory().used_frames();
    REQUIRE(units.join(units.intel) == "ok");
    REQUIRE(units.join(units.second_intel) == "ok");
    CHECK(units.intel.domain() == units.second_intel.domain());
    CHECK(units.machine.memory().used_frames() > frames);
    units.leave(units.intel);
    CHECK(units.pgsizes() == kIntelSizes);
    CHECK(units.second_intel.domain()->iova_to_phys(k2M) != 0);
    units.leave(units.second_intel);
    CHECK(units.machine.memory().used_frames() == frames);
    CHECK(units.pgsizes() == kAmdSizes);
    CHECK(units.amd.domain()->iova_to_phys(k2M) != 0);
    CHECK(units.intel.domain()->type() == iommu::DomainType::blocked);
    units.leave(units.amd);
    CHECK(units.machine.memory().total_pins() == 0);
}

TEST_CASE("a group that cannot join leaves everything as it was") {
    Units units;
    const std::uint64_t buffer = units.process.map(k2M);
    REQUIRE(units.join(units.amd) == "ok");
    CHECK(units.map(kAbove, buffer, k2M) == "ok");
    const std::uint64_t frames = units.machine.memory().used_frames();
    CHECK(units.join(units.intel) == "EINVAL");  // its aperture ends below the mapping
    CHECK(units.machine.memory().used_frames() == frames);
    CHECK(units.pgsizes() == kAmdSizes);
    CHECK(units.intel.domain()->type() == iommu::DomainType::blocked);
    CHECK(units.amd.domain()->iova_to_phys(kAbove) != 0);
    CHECK(units.unmap(kAbove, k2M) == "ok");

    CHECK(units.map(0xfee00000, buffer, k4K) == "ok");
    CHECK(units.join(units.intel) == "EINVAL");  // the mapping lies where its interrupts are
    CHECK(units.unmap(0xfee00000, k4K) == "ok");
    CHECK(units.join(units.intel) == "ok");
    CHECK(units.map(kAbove, buffer, k2M) == "EINVAL");
    CHECK(units.map(0xfee00000, buffer, k4K) == "EINVAL");
    CHECK(units.map(0xfd00000000, buffer, k4K) == "EINVAL");
}

TEST_CASE("whatever allocation fails, a join or a map is whole or not at all") {
    Units units;
    const std::uint64_t buffer = units.process.map(4 * k2M);
    REQUIRE(units.join(units.intel) == "ok");
    REQUIRE(units.map(k2M, buffer, k2M) == "ok");
    std::uint32_t nth = 1;
    for (;; ++nth) {
        CAPTURE(nth);
        const std::uint64_t frames = units.machine.memory().used_frames();
        units.process.task.faults().fail_nth(nth);
        if (const std::string answer = units.join(units.amd); answer == "ok") {
            break;
        } else {
            CHECK(answer == "ENOMEM");
        }
        CHECK(units.machine.memory().used_frames() == frames);
        CHECK(units.amd.domain()->type() == iommu::DomainType::blocked);
        CHECK(units.pgsizes() == kIntelSizes);
    }
    CHECK(nth > 2);
    const std::uint64_t pins = units.machine.memory().total_pins();
    for (nth = 1;; ++nth) {
        CAPTURE(nth);
        units.process.task.faults().fail_nth(nth);
        if (const std::string answer = units.map(std::uint64_t{1} << 46, buffer + k2M, 2 * k2M);
            answer == "ok") {
            break;
        } else {
            CHECK(answer == "ENOMEM");
        }
        CHECK(units.machine.memory().total_pins() == pins);
        CHECK(units.intel.domain()->iova_to_phys(std::uint64_t{1} << 46) == 0);
        CHECK(units.amd.domain()->iova_to_phys(std::uint64_t{1} << 46) == 0);
    }
    CHECK(nth > 4);
    units.process.task.faults().fail_nth(0);
    CHECK(units.both(std::uint64_t{1} << 46) != 0);
}

}  // namespace
}  // namespace kvmiommu::vfio
