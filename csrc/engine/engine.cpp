// SPDX-License-Identifier: MIT
//
// Domains behind the C interface of engine_abi.h: what is measured is what devices use. A handle
// is a domain of one format without an IOMMU around it.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "base/wide.h"
#include "engine/engine_abi.h"
#include "iommu/bare_domain_of.h"
#include "iommu/iommu.h"

namespace kvmiommu {

namespace {

// The interface knows no machine, so all tables of the library share one RAM, all of it in reach of
// 32 bits.
constexpr mm::PhysAddr kRamStart = std::uint64_t{1} << 30;
constexpr std::uint64_t kRam = std::uint64_t{3} << 30;

mm::PhysicalMemory* ram() {
    static const auto memory = mm::PhysicalMemory::create(kRam, 0, kRamStart);
    return memory ? memory->get() : nullptr;
}

constexpr std::uint64_t kTce = 4 << 10;

FaultPoints no_faults;  // never told to fail

void* create(const iommu::FormatInfo& format, const engine_cfg* cfg) {
    if (ram() == nullptr || cfg == nullptr || cfg->abi != ENGINE_ABI || cfg->flags != 0) {
        return nullptr;
    }
    auto domain = iommu::create_bare_domain(
        *ram(), format, {.page_sizes = cfg->pgsize_bitmap & format.page_sizes}, no_faults);
    return domain ? domain->release() : nullptr;
}

iommu::Domain& domain(void* handle) {
    return *static_cast<iommu::Domain*>(handle);
}

// Not inline in the functions for TCEs, which rarely need them.
[[gnu::noinline]] int map(void* handle, std::uint64_t iova, std::uint64_t pa, std::uint64_t size,
                          int prot) {
    const auto mapped =
        iommu::map(domain(handle), iova, pa, size, static_cast<std::uint32_t>(prot), no_faults);
    return mapped ? 0 : -mapped.error().error();
}

[[gnu::noinline]] std::uint64_t unmap(void* handle, std::uint64_t iova, std::uint64_t size) {
    return iommu::unmap(domain(handle), iova, size, no_faults);
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

// Of all handles: programs look for what is left when theirs is destroyed, and still name it.
std::uint64_t pt_bytes(void*) {
    return ram()->used_frames() << mm::kFrameShift;
}

template <std::size_t kFormat>
void* create_format(const engine_cfg* cfg) {
    return create(iommu::formats()[kFormat], cfg);
}

template <std::size_t... kEach>
constexpr std::array<void* (*)(const engine_cfg*), sizeof...(kEach)> create_functions(
    std::index_sequence<kEach...>) {
    return {create_format<kEach>...};
}

// The kinds of rows that may be measured: those that this processor runs, or the one that
// KVMIOMMU_WIDE names. Nothing but this interface for programs that measure reads that variable.
class Kinds {
  public:
    Kinds() {
        const char* const only = std::getenv("KVMIOMMU_WIDE");
        std::size_t count = 0;
        for (const wide::Kind& kind : wide::kinds()) {
            if (only == nullptr || std::string_view(only) == kind.name) {
                list_[count++] = kind.name;
            }
        }
        if (only == nullptr) {
            // A build may use another than the first.
            std::swap(list_[0], *std::ranges::find(list_, std::string_view(wide::in_use().name)));
        } else if (count == 0) {
            std::fprintf(stderr, "KVMIOMMU_WIDE=%s: this processor runs no such kind\n", only);
        } else {
            use(list_[0]);
        }
    }

    const char* const* list() const { return list_.data(); }
    int use(std::string_view name) const {
        for (const char* const* each = list(); *each != nullptr; ++each) {
            if (*each == name) {
                wide::use(*wide::find(name));
                return 0;
            }
        }
        return -EINVAL;
    }

  private:
    std::array<const char*, 4> list_{};
};

const Kinds& kinds() {
    static const Kinds found;
    return found;
}

// A row for each format, and the list of them.
class Engines {
  public:
    Engines() {
        if (kinds().list()[0] == nullptr) {
            return;
        }
        constexpr auto kCreate = create_functions(std::make_index_sequence<iommu::kFormatCount>{});
        std::size_t count = 0;
        for (std::size_t at = 0; at < iommu::kFormatCount; ++at) {
            const iommu::FormatInfo& format = iommu::formats()[at];
            names_[at] = std::string("kvmiommu-") + format.name;
            rows_[at] = {names_[at].c_str(),
                         kCreate[at],
                         map,
                         unmap,
                         iova_to_phys,
                         destroy,
                         pt_bytes,
                         format.one_page_size ? lowest_bit(format.page_sizes) : format.page_sizes,
                         format.default_bits,
                         format.output_bits,
                         format.note};
            if (format.one_page_size) {
                rows_[at].map = set_tces;
                rows_[at].unmap = clear_tces;
                rows_[at].iova_to_phys = look_up_tce;
            }
            // Programs that measure begin at low iovas and lead them above 4 GiB, and take a table
            // that cannot for a broken one.
            if (!format.upper_half && format.output_bits > 32) {
                list_[count++] = &rows_[at];
            }
        }
    }

    const engine* const* list() const { return list_.data(); }

  private:
    std::array<std::string, iommu::kFormatCount> names_;
    std::array<engine, iommu::kFormatCount> rows_;
    std::array<const engine*, iommu::kFormatCount + 1> list_{};
};

}  // namespace

}  // namespace kvmiommu

extern "C" __attribute__((visibility("default"))) const engine* const* engine_list() {
    static const kvmiommu::Engines engines;
    return engines.list();
}

extern "C" __attribute__((visibility("default"))) const char* const* engine_kinds() {
    return kvmiommu::kinds().list();
}

extern "C" __attribute__((visibility("default"))) int engine_use_kind(const char* name) {
    return kvmiommu::kinds().use(name);
}
