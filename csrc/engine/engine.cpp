// SPDX-License-Identifier: MIT
//
// Domains behind the C interface of engine_abi.h: what is measured is what devices use. A handle
// is a domain of a driver of csrc/iommu/drivers, made for a device that does nothing.

#include <array>
#include <memory>
#include <optional>

#include "engine/engine_abi.h"
#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/iommu.h"

namespace kvmiommu {

namespace {

constexpr std::uint64_t kRam = std::uint64_t{4} << 30;

// The interface knows no machine, so all tables of the library share one RAM.
mm::PhysicalMemory* ram() {
    static const auto memory = mm::PhysicalMemory::create(kRam, 0);
    return memory ? memory->get() : nullptr;
}

FaultPoints no_faults;  // never told to fail

template <class Driver>
void* create(const iommu::Instance& whole, const engine_cfg* cfg) {
    if (ram() == nullptr || cfg == nullptr || cfg->abi != ENGINE_ABI || cfg->flags != 0) {
        return nullptr;
    }
    iommu::Instance instance = whole;
    if (cfg->pgsize_bitmap != 0) {
        instance.page_sizes &= cfg->pgsize_bitmap;
    }
    static Driver driver(*ram());
    iommu::Device device("engine", driver, instance);
    auto domain = driver.domain_alloc_paging(device, no_faults);
    return domain ? domain->release() : nullptr;
}

iommu::Domain& domain(void* handle) {
    return *static_cast<iommu::Domain*>(handle);
}

int map(void* handle, std::uint64_t iova, std::uint64_t pa, std::uint64_t size, int prot) {
    const auto mapped =
        iommu::map(domain(handle), iova, pa, size, static_cast<std::uint32_t>(prot), no_faults);
    return mapped ? 0 : -mapped.error().error();
}

std::uint64_t unmap(void* handle, std::uint64_t iova, std::uint64_t size) {
    return iommu::unmap(domain(handle), iova, size);
}

std::uint64_t iova_to_phys(void* handle, std::uint64_t iova) {
    return domain(handle).iova_to_phys(iova);
}

void destroy(void* handle) {
    delete &domain(handle);
}

std::uint64_t pt_bytes(void*) {
    return ram()->used_frames() << mm::kFrameShift;
}

constexpr std::uint64_t kPages = std::uint64_t{1} << 12 | 1 << 21 | 1 << 30;
const iommu::Instance kAmd{.name = "engine", .address_width = 64, .page_sizes = kPages};
const iommu::Instance kVtd{.name = "engine", .address_width = 48, .page_sizes = kPages};

constexpr engine engine_of(const char* name, void* (*create)(const engine_cfg*), unsigned ias,
                           const char* note) {
    return {name, create, map, unmap, iova_to_phys, destroy, pt_bytes, kPages, ias, 52, note};
}

constexpr engine kAmdV1 = engine_of(
    "kvmiommu-amdv1", [](const engine_cfg* cfg) { return create<iommu::AmdOps>(kAmd, cfg); }, 64,
    "AMD host page tables, 3 levels that grow to 6");
constexpr engine kVtdSecondStage = engine_of(
    "kvmiommu-vtdss", [](const engine_cfg* cfg) { return create<iommu::IntelOps>(kVtd, cfg); }, 48,
    "VT-d second stage, 4 levels");

constexpr std::array<const engine*, 3> kEngines{&kAmdV1, &kVtdSecondStage, nullptr};

}  // namespace

}  // namespace kvmiommu

extern "C" __attribute__((visibility("default"))) const engine* const* engine_list() {
    return kvmiommu::kEngines.data();
}
