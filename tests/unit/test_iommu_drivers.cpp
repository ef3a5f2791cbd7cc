// SPDX-License-Identifier: MIT
//
// The domains of each IOMMU driver behind iommu::map() and unmap(), beside a list of pages; what a
// domain takes and what it promises.

#include <map>
#include <memory>
#include <vector>

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/drivers/riscv.h"
#include "iommu/drivers/smmu_v3.h"
#include "iommu/drivers/virtio.h"
#include "iommu/iommu.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::Numbers;
using test::outcome;
using test::value;

constexpr std::uint64_t k4K = std::uint64_t{4} << 10;
constexpr std::uint64_t k2M = std::uint64_t{2} << 20;
constexpr std::uint64_t k1G = std::uint64_t{1} << 30;
constexpr std::uint64_t kIntelSizes = k4K | k2M | k1G;
constexpr std::uint64_t kAmdSizes = 0xfff7ffffff000;
constexpr std::uint64_t kVirtioSizes = 0xfffffffffffff000;

IommuDevice instance_of(const char* name, unsigned width, std::uint64_t sizes,
                        bool coherent = false) {
    return {.name = name,
            .address_width = width,
            .page_sizes = sizes,
            .enforces_cache_coherency = coherent,
            .isolated_msi = false,
            .reserved = {}};
}

// Maps and unmaps random ranges, each of which goes as it came, and looks at every page.
void agree_with_a_list(Domain& domain, std::uint64_t base, std::uint64_t seed) {
    constexpr std::uint64_t kWindow = 16 << 20;
    FaultPoints faults;
    Numbers numbers(seed);
    std::map<std::uint64_t, std::pair<std::uint64_t, PhysAddr>> ranges;  // iova to size and address
    for (int step = 0; step < 400; ++step) {
        const std::uint64_t at = align_down(numbers.below(kWindow), k4K);
        // Mostly small ones; a third reaches the larger pages.
        const std::uint64_t most = numbers.below(3) == 0 ? kWindow / 2 : 64 * k4K;
        const std::uint64_t pages = 1 + numbers.below(std::min(most, kWindow - at) / k4K);
        const std::uint64_t offset =
            numbers.below(2) == 0 ? 0 : align_down(numbers.below(k1G), k4K);
        const std::uint64_t iova = base + at;
        const std::uint64_t size = pages * k4K;
        auto behind = ranges.lower_bound(iova);
        if (behind != ranges.begin() &&
            iova - std::prev(behind)->first < std::prev(behind)->second.first) {
            --behind;
        }
        if (behind == ranges.end() || (behind->first > iova && behind->first - iova >= size)) {
            const PhysAddr address = 8 * k1G + at + offset;
            value(map(domain, iova, address, size, kRead | kWrite, faults));
            ranges[iova] = {size, address};
        } else {
            const auto [start, range] = *behind;
            CHECK(outcome(map(domain, iova, k1G, size, kRead, faults)) ==
                  (domain.ops().name() == std::string("virtio") ? "EINVAL" : "EEXIST"));
            CHECK(unmap(domain, start, range.first, test::no_faults()) == range.first);
            ranges.erase(start);
        }
        std::uint64_t wrong = 0;
        auto next = ranges.begin();
        for (std::uint64_t page = 0; page < kWindow; page += k4K) {
            while (next != ranges.end() && base + page - next->first >= next->second.first &&
                   base + page > next->first) {
                ++next;
            }
            const bool in = next != ranges.end() && base + page >= next->first;
            const PhysAddr expected =
                in ? next->second.second + (base + page - next->first) + 9 : 0;
            wrong += domain.iova_to_phys(base + page + 9) != expected;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("domains of every driver map what they are told") {
    Machine machine;
    FaultPoints faults;
    IntelOps intel(machine.memory());
    AmdOps amd(machine.memory());
    VirtioOps virtio(k4K);
    const IommuDevice dmar = instance_of("dmar0", 48, kIntelSizes);
    const IommuDevice ivhd = instance_of("ivhd0", 64, kAmdSizes);
    const IommuDevice viommu = instance_of("viommu0", 64, kVirtioSizes);
    Device behind_intel("0000:00:01.0", intel, dmar);
    Device behind_amd("0000:00:02.0", amd, ivhd);
    Device behind_virtio("0000:00:03.0", virtio, viommu);
    for (Device* const device : {&behind_intel, &behind_amd, &behind_virtio}) {
        CAPTURE(device->name());
        const auto domain = value(device->ops().domain_alloc_paging(*device, faults));
        CHECK(domain->pgsize_bitmap() == device->iommu_device().page_sizes);
        CHECK(domain->aperture() == Range{0, low_mask(device->iommu_device().address_width)});
        agree_with_a_list(*domain, 0, 1);
        agree_with_a_list(*domain, 3 * k1G - 4 * k2M, 2);
        if (device != &behind_intel) {
            agree_with_a_list(*domain, 0 - 8 * k2M, 3);
        }
    }
}

TEST_CASE("domains of an SMMU and of a RISC-V IOMMU map what they are told") {
    Machine machine;
    FaultPoints faults;
    SmmuV3Ops smmu(machine.memory(), k4K);
    RiscVOps riscv(machine.memory());
    IommuDevice first = instance_of("smmu0", 48, kIntelSizes | 1 << 14 | 1 << 16);
    IommuDevice second = instance_of("smmu1", 40, kIntelSizes);
    second.stage = 2;
    const IommuDevice sv48 = instance_of("riscv0", 48, kIntelSizes);
    Device behind_first("0000:00:01.0", smmu, first);
    Device behind_second("0000:00:02.0", smmu, second);
    Device behind_riscv("0000:00:03.0", riscv, sv48);
    for (Device* const device : {&behind_first, &behind_second, &behind_riscv}) {
        CAPTURE(device->name());
        const auto domain = value(device->ops().domain_alloc_paging(*device, faults));
        CHECK(domain->pgsize_bitmap() == kIntelSizes);
        CHECK(outcome(domain->attach_device(*device, test::no_faults())) == "ok");
        const std::uint64_t last = domain->aperture().last;
        CHECK(last == low_mask(device == &behind_first ? 48 : device == &behind_second ? 40 : 47));
        agree_with_a_list(*domain, 0, 1);
        agree_with_a_list(*domain, last + 1 - 8 * k2M, 2);
        CHECK(outcome(map(*domain, last + 1, k1G, k4K, kRead, faults)) == "ERANGE");
    }
}

TEST_CASE("the kernel's page picks an SMMU's granule") {
    Machine machine;
    FaultPoints faults;
    const std::uint64_t all = kIntelSizes | 1 << 14 | 1 << 25 | 1 << 16 | 1 << 29;
    const auto sizes = [&](std::uint64_t page_size, std::uint64_t page_sizes) -> std::uint64_t {
        SmmuV3Ops smmu(machine.memory(), page_size);
        const IommuDevice instance = instance_of("smmu0", 48, page_sizes);
        Device device("0000:00:01.0", smmu, instance);
        const auto domain = smmu.domain_alloc_paging(device, faults);
        if (!domain) {
            CHECK(outcome(domain) == "ENOMEM");
            return 0;
        }
        return (*domain)->pgsize_bitmap();
    };
    CHECK(sizes(k4K, all) == kIntelSizes);
    CHECK(sizes(16 << 10, all) == (1 << 14 | 1 << 25));
    CHECK(sizes(64 << 10, all) == (1 << 16 | 1 << 29));
    CHECK(sizes(64 << 10, kIntelSizes | 1 << 14 | 1 << 25) == (1 << 14 | 1 << 25));
    CHECK(sizes(k4K, 1 << 16 | 1 << 29) == (1 << 16 | 1 << 29));
    CHECK(sizes(k4K, k2M) == 0);
}

TEST_CASE("a domain of an SMMU serves devices behind that one alone, and is split") {
    Machine machine;
    FaultPoints faults;
    SmmuV3Ops smmu(machine.memory(), k4K);
    const IommuDevice one = instance_of("smmu0", 48, kIntelSizes);
    const IommuDevice other = instance_of("smmu1", 48, kIntelSizes);
    Device here("0000:00:01.0", smmu, one);
    Device there("0000:00:02.0", smmu, other);
    const auto domain = value(smmu.domain_alloc_paging(here, faults));
    CHECK(outcome(domain->attach_device(here, test::no_faults())) == "ok");
    CHECK(outcome(domain->attach_device(there, test::no_faults())) == "EINVAL");
    value(map(*domain, 0, k1G, k2M, kRead, faults));
    CHECK(unmap(*domain, k4K, k4K, test::no_faults()) == k4K);
    CHECK(domain->iova_to_phys(2 * k4K) == k1G + 2 * k4K);
}

TEST_CASE("a domain of a RISC-V IOMMU serves devices whose IOMMU walks as many levels") {
    Machine machine;
    FaultPoints faults;
    RiscVOps riscv(machine.memory());
    const IommuDevice sv39 = instance_of("riscv0", 39, kIntelSizes);
    const IommuDevice sv57 = instance_of("riscv1", 57, kIntelSizes);
    Device narrow("0000:00:01.0", riscv, sv39);
    Device wide("0000:00:02.0", riscv, sv57);
    CHECK(outcome(value(riscv.domain_alloc_paging(narrow, faults))
                      ->attach_device(wide, test::no_faults())) == "ok");
    CHECK(outcome(value(riscv.domain_alloc_paging(wide, faults))
                      ->attach_device(narrow, test::no_faults())) == "ENODEV");
}

TEST_CASE("an unmap takes a RISC-V page only from its start") {
    Machine machine;
    FaultPoints faults;
    RiscVOps riscv(machine.memory());
    const IommuDevice unit = instance_of("riscv0", 48, kIntelSizes);
    Device device("0000:00:01.0", riscv, unit);
    const auto domain = value(riscv.domain_alloc_paging(device, faults));
    value(map(*domain, k2M, k1G, k2M, kRead, faults));
    value(map(*domain, 0, 2 * k1G, k2M, kRead, faults));
    CHECK(unmap(*domain, k2M + k4K, k4K, test::no_faults()) == 0);
    CHECK(domain->iova_to_phys(k2M + k4K) == k1G + k4K);
    // One that ends inside of a page counts all of it.
    CHECK(unmap(*domain, 0, k4K, test::no_faults()) == k2M);
    CHECK(domain->iova_to_phys(k4K) == 0);
    CHECK(domain->iova_to_phys(k2M) == k1G);
}

TEST_CASE("a map that fails at any allocation leaves the domain as it was") {
    Machine machine;
    FaultPoints faults;
    IntelOps intel(machine.memory());
    AmdOps amd(machine.memory());
    VirtioOps virtio(k4K);
    const IommuDevice dmar = instance_of("dmar0", 48, kIntelSizes);
    const IommuDevice ivhd = instance_of("ivhd0", 64, kAmdSizes);
    const IommuDevice viommu = instance_of("viommu0", 64, kVirtioSizes);
    Device behind_intel("0000:00:01.0", intel, dmar);
    Device behind_amd("0000:00:02.0", amd, ivhd);
    Device behind_virtio("0000:00:03.0", virtio, viommu);
    // Pages of several sizes, across a border of tables on every level.
    const std::uint64_t iova = (std::uint64_t{1} << 47) - k2M - k4K;
    for (Device* const device : {&behind_intel, &behind_amd, &behind_virtio}) {
        CAPTURE(device->name());
        std::uint32_t nth = 1;
        for (;; ++nth) {
            CAPTURE(nth);
            faults.fail_nth(nth);
            const auto domain = device->ops().domain_alloc_paging(*device, faults);
            if (!domain) {
                CHECK(outcome(domain) == "ENOMEM");
                continue;
            }
            const auto mapped = map(**domain, iova, iova + k1G, 2 * k2M + 2 * k4K, kRead, faults);
            if (mapped) {
                break;
            }
            CHECK(outcome(mapped) == "ENOMEM");
            for (std::uint64_t page = 0; page < 2 * k2M + 2 * k4K; page += k4K) {
                REQUIRE((*domain)->iova_to_phys(iova + page) == 0);
            }
            value(map(**domain, iova, iova + k1G, 2 * k2M + 2 * k4K, kRead, faults));
        }
        CHECK(nth > 4);
        faults.fail_nth(0);
    }
}

TEST_CASE("an Intel domain takes devices whose IOMMU can do as much") {
    Machine machine;
    FaultPoints faults;
    IntelOps ops(machine.memory());
    const IommuDevice unit = instance_of("dmar0", 48, k4K | k2M, true);
    const IommuDevice narrow = instance_of("dmar1", 39, k4K | k2M, true);
    const IommuDevice wide = instance_of("dmar2", 57, kIntelSizes, false);
    const IommuDevice small = instance_of("dmar3", 48, k4K, true);
    Device device("0000:00:01.0", ops, unit);
    Device behind_narrow("0000:00:02.0", ops, narrow);
    Device behind_wide("0000:00:03.0", ops, wide);
    Device behind_small("0000:00:04.0", ops, small);
    const auto domain = value(ops.domain_alloc_paging(device, faults));
    CHECK(outcome(domain->attach_device(device, test::no_faults())) == "ok");
    CHECK(outcome(domain->attach_device(behind_narrow, test::no_faults())) == "EINVAL");
    CHECK(outcome(domain->attach_device(behind_small, test::no_faults())) == "EINVAL");
    CHECK(outcome(domain->attach_device(behind_wide, test::no_faults())) == "ok");
    CHECK(domain->enforce_cache_coherency());
    CHECK(outcome(domain->attach_device(behind_wide, test::no_faults())) == "EINVAL");
    CHECK_FALSE(value(ops.domain_alloc_paging(behind_wide, faults))->enforce_cache_coherency());
}

TEST_CASE("an AMD domain takes every AMD device and is always coherent") {
    Machine machine;
    FaultPoints faults;
    AmdOps ops(machine.memory());
    const IommuDevice unit = instance_of("ivhd0", 64, kAmdSizes);
    const IommuDevice other = instance_of("ivhd1", 48, kAmdSizes);
    Device device("0000:00:01.0", ops, unit);
    Device behind_other("0000:40:01.0", ops, other);
    const auto domain = value(ops.domain_alloc_paging(device, faults));
    CHECK(outcome(domain->attach_device(device, test::no_faults())) == "ok");
    CHECK(outcome(domain->attach_device(behind_other, test::no_faults())) == "ok");
    CHECK(domain->enforce_cache_coherency());
}

TEST_CASE("a virtio domain is one device's, and its pages are not larger than the machine's") {
    FaultPoints faults;
    VirtioOps ops(k4K);
    const IommuDevice unit = instance_of("viommu0", 64, kVirtioSizes);
    const IommuDevice other = instance_of("viommu1", 64, kVirtioSizes);
    const IommuDevice coarse = instance_of("viommu2", 64, kVirtioSizes << 4);
    Device device("0000:00:01.0", ops, unit);
    Device behind_other("0000:00:02.0", ops, other);
    Device behind_coarse("0000:00:03.0", ops, coarse);
    const auto domain = value(ops.domain_alloc_paging(device, faults));
    CHECK(outcome(domain->attach_device(device, test::no_faults())) == "ok");
    CHECK(outcome(domain->attach_device(behind_other, test::no_faults())) == "EINVAL");
    const auto of_coarse = value(ops.domain_alloc_paging(behind_coarse, faults));
    CHECK(outcome(of_coarse->attach_device(behind_coarse, test::no_faults())) == "ENODEV");
    CHECK_FALSE(domain->enforce_cache_coherency());
    faults.fail_nth(1);
    CHECK(outcome(ops.domain_alloc_paging(device, faults)) == "ENOMEM");
}

TEST_CASE("a virtio mapping goes as it was made, or stays") {
    FaultPoints faults;
    VirtioOps ops(k4K);
    const IommuDevice unit = instance_of("viommu0", 64, kVirtioSizes);
    Device device("0000:00:01.0", ops, unit);
    const auto domain = value(ops.domain_alloc_paging(device, faults));
    // Three pages in one request, for they line up with nothing.
    value(map(*domain, k4K, 2 * k4K, 3 * k4K, kRead, faults));
    CHECK(domain->unmap_pages(2 * k4K, k4K, 2, test::no_faults()) == 0);
    CHECK(domain->unmap_pages(2 * k4K, k4K, 8, test::no_faults()) == 0);
    CHECK(domain->iova_to_phys(3 * k4K) == 4 * k4K);
    CHECK(domain->unmap_pages(k4K, k4K, 1, test::no_faults()) == 3 * k4K);
    CHECK(domain->iova_to_phys(3 * k4K) == 0);
    // Less than asked for counts as nothing, and is forgotten.
    value(map(*domain, 0, k1G, k4K, kRead, faults));
    CHECK(domain->unmap_pages(0, k4K, 2, test::no_faults()) == 0);
    CHECK(domain->iova_to_phys(0) == 0);
    value(map(*domain, k2M, k1G, k4K, kRead, faults));
    value(map(*domain, k2M + k4K, k1G, k4K, kRead, faults));
    CHECK(domain->unmap_pages(k2M, k4K, 2, test::no_faults()) == 2 * k4K);
    CHECK(outcome(map(*domain, ~std::uint64_t{0xfff}, k1G, k4K, kRead, faults)) == "ok");
    CHECK(domain->iova_to_phys(~std::uint64_t{0}) == k1G + k4K - 1);
    CHECK(domain->unmap_pages(~std::uint64_t{0xfff}, k4K, 1, test::no_faults()) == k4K);
}

}  // namespace
}  // namespace kvmiommu::iommu
