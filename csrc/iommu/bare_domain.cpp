// SPDX-License-Identifier: MIT

#include "iommu/bare_domain.h"

#include <array>
#include <bit>

#include "iommu/bare_domain_of.h"
#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/armv7s.h"
#include "iommu/pgtable/armv8.h"
#include "iommu/pgtable/riscv64.h"
#include "iommu/pgtable/tce.h"
#include "iommu/pgtable/vtdss.h"
#include "iommu/pgtable/x86_64.h"

namespace kvmiommu::iommu {

namespace {

using namespace pgtable;

constexpr Source kSource{"kvmiommu: iommu/bare_domain.h"};

// Page sizes and widths, a bit each.
template <class... Shifts>
constexpr std::uint64_t bits(Shifts... shifts) {
    return ((std::uint64_t{1} << shifts % 64) | ...);
}
constexpr std::uint64_t from_to(unsigned first, unsigned last) {
    return low_mask(last + 1) & ~low_mask(first);
}
constexpr std::uint64_t kX86Pages = bits(12, 21, 30);

template <Format F>
constexpr FormatInfo format_of(const char* name, std::uint64_t page_sizes, std::uint64_t iova_bits,
                               unsigned default_bits, const char* note, unsigned most_levels = 0) {
    return {name,         page_sizes,     iova_bits,
            default_bits, F::kOutputBits, HasDirty<F>,
            Splits<F>,    most_levels,    std::same_as<F, Tce>,
            UpperHalf<F>, note,           BareDomain<F>::create};
}

// The hardware gets pages of 512 GiB wrong, so drivers leave them out (drivers/iommu/amd/
// amd_iommu_types.h: AMD_IOMMU_PGSIZES).
constexpr std::uint64_t kAmdPages = from_to(12, 51) & ~bits(39);

constexpr std::array kFormats{
    format_of<AmdV1>("amdv1", kAmdPages, from_to(13, 63) | bits(64), 64,
                     "AMD host page tables, 3 levels that grow to 6", 6),
    format_of<X86_64>("x86_64", kX86Pages, bits(48, 57), 48,
                      "AMD version 2 and VT-d first stage, 4 or 5 levels"),
    format_of<X86_64Signed>("x86_64-signed", kX86Pages, bits(48, 57), 48,
                            "the same with both halves of the processor's addresses"),
    format_of<VtdSecondLevel>("vtdss", kX86Pages, bits(39, 48, 57), 48,
                              "VT-d second stage, 3 to 5 levels"),
    format_of<ArmV8Stage1>("armv8-s1", kX86Pages, from_to(32, 48), 48,
                           "Arm VMSAv8-64 stage 1, 4 KiB granule"),
    format_of<ArmV8Stage1Of<14>>("armv8-s1-16k", bits(14, 25), from_to(32, 48), 48,
                                 "Arm VMSAv8-64 stage 1, 16 KiB granule"),
    format_of<ArmV8Stage1Of<16>>("armv8-s1-64k", bits(16, 29), from_to(32, 52), 48,
                                 "Arm VMSAv8-64 stage 1, 64 KiB granule"),
    format_of<ArmV8Upper>("armv8-s1-ttbr1", kX86Pages, from_to(32, 48), 48,
                          "Arm VMSAv8-64 stage 1 behind TTBR1, 4 KiB granule"),
    format_of<ArmV8Stage2>("armv8-s2", kX86Pages, from_to(32, 48), 40,
                           "Arm VMSAv8-64 stage 2, 4 KiB granule, up to 16 tables at the top"),
    format_of<ArmV8Stage2Of<14>>("armv8-s2-16k", bits(14, 25), from_to(32, 48), 40,
                                 "Arm VMSAv8-64 stage 2, 16 KiB granule"),
    format_of<ArmV8Stage2Of<16>>("armv8-s2-64k", bits(16, 29), from_to(32, 52), 40,
                                 "Arm VMSAv8-64 stage 2, 64 KiB granule"),
    format_of<ArmV7s>("armv7s", bits(12, 16, 20, 24), bits(32), 32,
                      "Arm VMSAv7 short descriptors; tables must lie below 4 GiB"),
    format_of<RiscV64>("riscv64", bits(12, 21, 30, 39, 48), bits(39, 48, 57), 48,
                       "RISC-V Sv39, Sv48 and Sv57"),
    format_of<RiscV64Svnapot>("riscv64-svnapot", bits(12, 16, 21, 30, 39, 48), bits(39, 48, 57), 48,
                              "the same with Svnapot's 64 KiB"),
    format_of<Tce>("tce", bits(12, 16, 21, 24, 30), from_to(13, 57), 36,
                   "POWER TCEs, a window of one page size, 1 to 5 levels", 5),
    format_of<MockV1>("mock", from_to(11, 50), from_to(12, 56), 56,
                      "what iommufd's mock device has: AMD's with pages from 2 KiB", 5),
};

}  // namespace

std::span<const FormatInfo, kFormatCount> formats() {
    return kFormats;
}

const FormatInfo* find_format(std::string_view name) {
    for (const FormatInfo& format : kFormats) {
        if (name == format.name) {
            return &format;
        }
    }
    return nullptr;
}

Result<std::unique_ptr<Domain>> create_bare_domain(mm::PhysicalMemory& memory,
                                                   const FormatInfo& format, BareRequest request,
                                                   FaultPoints& faults) {
    if (request.bits == 0) {
        request.bits = format.default_bits;
    }
    if (request.bits > 64 || (format.iova_bits >> request.bits % 64 & 1) == 0) {
        return refuse(EINVAL, "the format has no tables for {} bits of iova", kSource,
                      request.bits);
    }
    if (request.page_sizes == 0) {
        request.page_sizes =
            format.one_page_size ? lowest_bit(format.page_sizes) : format.page_sizes;
    }
    if ((request.page_sizes & ~format.page_sizes) != 0) {
        return refuse(EINVAL, "page sizes {:x}: the format has {:x}", kSource, request.page_sizes,
                      format.page_sizes);
    }
    // Pages larger than the aperture cannot be mapped.
    request.page_sizes &= low_mask(request.bits);
    if (request.page_sizes == 0 || (format.one_page_size && !is_power_of_two(request.page_sizes))) {
        return refuse(EINVAL, "page sizes {:x}: the format takes {} for {} bits of iova", kSource,
                      request.page_sizes, format.one_page_size ? 1 : 64, request.bits);
    }
    if (request.levels > format.most_levels) {
        return refuse(EINVAL, "{} levels: the format lets {} be asked for", kSource, request.levels,
                      format.most_levels);
    }
    if (request.dirty_tracking && !format.can_track_dirty) {
        return refuse(EOPNOTSUPP, "the format's leaves do not say what was written to", kSource);
    }
    if (request.policy.partial_unmap == PartialUnmap::split && !format.can_split) {
        return refuse(EOPNOTSUPP, "the format's pages cannot be split", kSource);
    }
    return format.create(memory, request, faults);
}

}  // namespace kvmiommu::iommu
