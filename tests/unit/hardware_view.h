// SPDX-License-Identifier: MIT
//
// What hardware reads in the tables of a domain: the walker of its format, told what a driver tells
// the hardware: the root, the number of levels, the width of an iova.

#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "iommu/bare_domain.h"
#include "support.h"
#include "walker/amd_v1.h"
#include "walker/arm.h"
#include "walker/intel.h"
#include "walker/power.h"
#include "walker/riscv.h"

namespace kvmiommu::test {

/// How a format's tables are read, by the format's name.
inline walker::Format hardware_format(std::string_view name, unsigned levels, unsigned iova_bits,
                                      unsigned page_shift) {
    if (name == "amdv1") {
        return walker::amd_v1(levels);
    }
    if (name == "mock") {
        return walker::amd_v1(levels, 11);
    }
    if (name.starts_with("x86_64")) {
        return walker::x86_64(levels);
    }
    if (name == "vtdss") {
        return walker::vtd_second_stage(levels);
    }
    if (name.starts_with("riscv64")) {
        return walker::riscv(levels, name == "riscv64-svnapot");
    }
    if (name == "armv7s") {
        return walker::arm_v7s();
    }
    if (name == "tce") {
        const unsigned bits = (iova_bits - page_shift + levels - 1) / levels;
        return walker::tce(levels, bits < 9 ? 9 : bits, page_shift);
    }
    REQUIRE(name.starts_with("armv8-s"));
    const unsigned granule = name.ends_with("-16k") ? 14 : name.ends_with("-64k") ? 16 : 12;
    const unsigned one_root = granule + levels * (granule - 3);
    return walker::arm_v8(name[7] == '1' ? 1 : 2, granule, levels,
                          iova_bits > one_root ? 1u << (iova_bits - one_root) : 1);
}

/// A domain's tables as the hardware finds them now.
class HardwareView {
  public:
    /// `request` is what the domain was asked for, with its numbers filled in.
    HardwareView(mm::PhysicalMemory& memory, const iommu::FormatInfo& format,
                 const iommu::BareRequest& request, const iommu::Domain& domain)
        : HardwareView(memory, format, request, domain.walk(domain.aperture().start).at(0)) {}

    walker::Tree read() const { return reader_.read(root_); }
    /// What a device finds at an iova.
    std::optional<walker::Page> at(std::uint64_t iova) const {
        return reader_.at(root_, within(iova));
    }
    /// Bytes that the tables of a tree take: a frame each at least.
    std::uint64_t table_bytes(const walker::Tree& tree) const {
        std::uint64_t bytes = 0;
        for (const std::uint64_t table : tree.tables) {
            const walker::Level& level =
                table == root_ ? format_.levels.front() : format_.levels[1];
            bytes +=
                std::max(std::uint64_t{format_.entry_bytes} << level.index_bits, mm::kFrameSize);
        }
        return bytes;
    }
    std::size_t levels() const { return format_.levels.size(); }
    /// Of an iova only those bits that the tables are indexed with are looked at.
    std::uint64_t within(std::uint64_t iova) const { return iova & mask_; }

  private:
    HardwareView(mm::PhysicalMemory& memory, const iommu::FormatInfo& format,
                 const iommu::BareRequest& request, const iommu::WalkStep& first)
        : HardwareView(memory,
                       hardware_format(format.name, first.level + 1, request.bits,
                                       static_cast<unsigned>(std::countr_zero(request.page_sizes))),
                       first.table) {}
    HardwareView(mm::PhysicalMemory& memory, const walker::Format& format, std::uint64_t root)
        : format_(format),
          mask_(low_mask(format.levels.front().shift + format.levels.front().index_bits)),
          root_(root),
          reader_(format, [&memory](std::uint64_t address, std::size_t bytes) {
              std::vector<std::uint8_t> found(bytes);
              REQUIRE(memory.read(address, std::as_writable_bytes(std::span(found))));
              return found;
          }) {}

    const walker::Format format_;
    const std::uint64_t mask_;
    const std::uint64_t root_;
    const walker::Reader reader_;
};

}  // namespace kvmiommu::test
