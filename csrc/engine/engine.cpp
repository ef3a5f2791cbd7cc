// SPDX-License-Identifier: MIT
//
// Domains behind the C interface of engine_abi.h: what is measured is what devices use. A handle
// is a domain of a driver of csrc/iommu/drivers, made for a device that does nothing.

#include <array>
#include <memory>

#include "engine/engine_abi.h"
#include "iommu/drivers/amd.h"
#include "iommu/drivers/bare.h"
#include "iommu/drivers/intel.h"
#include "iommu/iommu.h"
#include "iommu/pgtable/armv8.h"
#include "iommu/pgtable/riscv64.h"
#include "iommu/pgtable/tce.h"
#include "iommu/pgtable/x86_64.h"

namespace kvmiommu {

namespace {

constexpr std::uint64_t kRam = std::uint64_t{4} << 30;

// The interface knows no machine, so all tables of the library share one RAM.
mm::PhysicalMemory* ram() {
    static const auto memory = mm::PhysicalMemory::create(kRam, 0);
    return memory ? memory->get() : nullptr;
}

constexpr std::uint64_t kTce = 4 << 10;

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

// A host bridge's window is no domain of the core's: whoever sets and clears TCEs does so in the
// table itself (arch/powerpc/include/asm/iommu.h: iommu_table_ops).
using Window = iommu::BareDomain<iommu::pgtable::Tce>;

Window& window(void* handle) {
    return static_cast<Window&>(domain(handle));
}

int set_tces(void* handle, std::uint64_t iova, std::uint64_t pa, std::uint64_t size, int prot) {
    const auto protection = static_cast<std::uint32_t>(prot);
    if (size == kTce && is_aligned(iova | pa, kTce) &&
        window(handle).map_page(iova, pa, kTce, protection)) {
        return 0;
    }
    return map(handle, iova, pa, size, prot);
}

std::uint64_t clear_tces(void* handle, std::uint64_t iova, std::uint64_t size) {
    if (size == kTce && is_aligned(iova, kTce) && window(handle).unmap_page(iova, kTce)) {
        return size;
    }
    return unmap(handle, iova, size);
}

std::uint64_t look_up_tce(void* handle, std::uint64_t iova) {
    return window(handle).iova_to_phys(iova);
}

void destroy(void* handle) {
    delete &domain(handle);
}

std::uint64_t pt_bytes(void*) {
    return ram()->used_frames() << mm::kFrameShift;
}

constexpr std::uint64_t kPages = std::uint64_t{1} << 12 | 1 << 21 | 1 << 30;

// A driver and the bits of its iovas.
template <class Driver, unsigned kBits, std::uint64_t kSizes = kPages>
void* create_of(const engine_cfg* cfg) {
    static const iommu::Instance instance{
        .name = "engine", .address_width = kBits, .page_sizes = kSizes, .reserved = {}};
    return create<Driver>(instance, cfg);
}

template <class Driver, unsigned kBits, std::uint64_t kSizes = kPages>
constexpr engine engine_of(const char* name, unsigned oas, const char* note) {
    return {name,         create_of<Driver, kBits, kSizes>,
            map,          unmap,
            iova_to_phys, destroy,
            pt_bytes,     kSizes,
            kBits,        oas,
            note};
}

using iommu::BareOps;

constexpr engine kAmdV1 = engine_of<iommu::AmdOps, 64>(
    "kvmiommu-amdv1", 52, "AMD host page tables, 3 levels that grow to 6");
constexpr engine kX86 = engine_of<BareOps<iommu::pgtable::X86_64>, 48>(
    "kvmiommu-x86_64", 52, "AMD version 2 and VT-d first stage, 4 levels");
constexpr engine kVtdSecondStage =
    engine_of<iommu::IntelOps, 48>("kvmiommu-vtdss", 52, "VT-d second stage, 4 levels");
constexpr engine kArmStage1 = engine_of<BareOps<iommu::pgtable::ArmV8Stage1>, 48>(
    "kvmiommu-armv8-s1", 48, "Arm VMSAv8-64 stage 1, 4 KiB granule, 4 levels");
constexpr engine kArmStage2 = engine_of<BareOps<iommu::pgtable::ArmV8Stage2>, 40>(
    "kvmiommu-armv8-s2", 48, "Arm VMSAv8-64 stage 2, 4 KiB granule, 3 levels, 2 tables at the top");
constexpr engine kRiscV = engine_of<BareOps<iommu::pgtable::RiscV64>, 48>("kvmiommu-riscv64", 56,
                                                                          "RISC-V Sv48, 4 levels");

constexpr engine kTces = {"kvmiommu-tce",
                          create_of<BareOps<iommu::pgtable::Tce>, 36, kTce>,
                          set_tces,
                          clear_tces,
                          look_up_tce,
                          destroy,
                          pt_bytes,
                          kTce,
                          36,
                          52,
                          "POWER TCEs, a window of 64 GiB, 4 KiB pages, 2 levels"};

constexpr std::array<const engine*, 8> kEngines{&kAmdV1,     &kX86,   &kVtdSecondStage, &kArmStage1,
                                                &kArmStage2, &kRiscV, &kTces,           nullptr};

}  // namespace

}  // namespace kvmiommu

extern "C" __attribute__((visibility("default"))) const engine* const* engine_list() {
    return kvmiommu::kEngines.data();
}
