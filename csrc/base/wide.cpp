// SPDX-License-Identifier: MIT

#include "base/wide.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/sanitizers.h"
#include "base/wide_rows.h"

namespace kvmiommu::wide {

namespace {

// What everything else is built for runs everywhere. TSan knows no atomic words within a register.
#if defined(__x86_64__) && !defined(KVMIOMMU_TSAN)
constexpr Kind kPlain = kind_of<2>("x86-64-v2");
#elif defined(__aarch64__) && !defined(KVMIOMMU_TSAN)
constexpr Kind kPlain = kind_of<2>("neon");
#else
constexpr Kind kPlain = kind_of<1>("words");
#endif

}  // namespace

constinit Kind detail::selected = kPlain;

std::span<const Kind> kinds() {
#if defined(__x86_64__) && !defined(KVMIOMMU_TSAN)
    // A processor that runs one of them runs those behind it.
    static const std::array all{kAvx512, kAvx2, kPlain};
    __builtin_cpu_init();
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    return std::span(all).subspan(avx512 ? 0 : __builtin_cpu_supports("avx2") ? 1 : 2);
#else
    return std::span(&kPlain, 1);
#endif
}

const Kind& in_use() {
    return detail::selected;
}

void use(const Kind& kind) {
    detail::selected = kind;
}

const Kind* find(std::string_view name) {
    for (const Kind& kind : kinds()) {
        if (kind.name == name) {
            return &kind;
        }
    }
    return nullptr;
}

namespace {

// When the program is loaded.
[[gnu::constructor]] void select() {
#if defined(KVMIOMMU_WIDE)
    const Kind* const kind = find(KVMIOMMU_WIDE);
    if (kind == nullptr) {
        std::fputs("kvmiommu: built for rows of " KVMIOMMU_WIDE
                   ", which this processor does not run\n",
                   stderr);
        std::abort();
    }
    use(*kind);
#else
    use(kinds().front());
#endif
}

}  // namespace

void fill(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step) {
    WordByWord<std::uint32_t>::fill(row, count, first, step);
}

bool replace(std::uint32_t* row, std::size_t count, std::uint32_t old, std::uint32_t mask,
             std::uint32_t first, std::uint32_t step) {
    if (!WordByWord<std::uint32_t>::all_are(row, count, old, mask)) {
        return false;
    }
    WordByWord<std::uint32_t>::fill(row, count, first, step);
    return true;
}

}  // namespace kvmiommu::wide
