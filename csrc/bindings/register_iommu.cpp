// SPDX-License-Identifier: MIT
//
// _core.PageTable: page tables without a machine around them.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/address_array.h"
#include "bindings/bare_table.h"
#include "bindings/class.h"
#include "bindings/register.h"
#include "iommu/iommu.h"
#include "iommu/map_sg.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

using iommu::FormatInfo;
using mm::PhysicalMemory;

std::shared_ptr<BareMemory> make_memory(std::uint64_t bytes, std::uint64_t fragment,
                                        std::uint64_t start) {
    return mm::owned_by_host(std::make_unique<BareMemory>(
        value_or_raise(PhysicalMemory::create(bytes, fragment, start))));
}

py::list formats() {
    py::list rows;
    for (const FormatInfo& format : iommu::formats()) {
        std::vector<unsigned> widths;
        for (unsigned bits = 1; bits <= 64; ++bits) {
            if ((format.iova_bits >> bits % 64 & 1) != 0) {
                widths.push_back(bits);
            }
        }
        rows.append(py::make_tuple(format.name, format.page_sizes, widths, format.default_bits,
                                   format.output_bits, format.can_track_dirty, format.can_split,
                                   format.most_levels, format.one_page_size, format.note));
    }
    return rows;
}

// The Python package has checked the names.
std::shared_ptr<BareTable> make_table(const std::string& name, std::uint64_t page_sizes,
                                      unsigned bits, unsigned levels, bool dirty_tracking,
                                      unsigned partial_unmap, int overlap,
                                      std::shared_ptr<BareMemory> memory) {
    const FormatInfo* const format = iommu::find_format(name);
    if (format == nullptr || partial_unmap > 3 || (overlap != EEXIST && overlap != EADDRINUSE)) {
        throw py::value_error("no such format or policy: " + name);
    }
    const iommu::BareRequest request{
        .page_sizes = page_sizes,
        .bits = bits,
        .levels = levels,
        .dirty_tracking = dirty_tracking,
        .policy = {.partial_unmap = static_cast<iommu::pgtable::PartialUnmap>(partial_unmap),
                   .overlap = overlap}};
    value_or_raise(memory->made().check());
    FaultPoints none;
    auto domain = value_or_raise(iommu::create_bare_domain(**memory, *format, request, none));
    return mm::owned_by_host(std::make_unique<BareTable>(std::move(memory), std::move(domain)));
}

void map(BareTable& table, std::uint64_t iova, std::uint64_t address, std::uint64_t size,
         std::uint32_t protection) {
    value_or_raise(table.alone(iova, size, [&] {
        return iommu::map(*table.domain, iova, address, size, protection, table.faults);
    }));
}

std::uint64_t unmap(BareTable& table, std::uint64_t iova, std::uint64_t size) {
    return table.alone(iova, size,
                       [&] { return iommu::unmap(*table.domain, iova, size, table.faults); });
}

std::uint64_t map_sg(BareTable& table, std::uint64_t iova,
                     const std::vector<std::pair<std::uint64_t, std::uint64_t>>& pieces,
                     std::uint32_t protection) {
    std::vector<mm::PhysicalRun> runs;
    runs.reserve(pieces.size());
    for (const auto& [address, bytes] : pieces) {
        runs.push_back({address, bytes});
    }
    return without_gil([&] {
        const RangeClaims::Claim claim(table.claims, BareTable::kAll);
        return iommu::map_sg(*table.domain, iova, runs, protection, table.faults);
    });
}

void check_length(const char* name, std::size_t found, const char* other, std::size_t expected) {
    if (found != expected) {
        throw py::value_error(std::string(name) + " has " + std::to_string(found) + " numbers, " +
                              other + " " + std::to_string(expected));
    }
}

// The range that contains all pages of a batch.
Range hull(const std::vector<std::uint64_t>& iovas, std::uint64_t size) {
    std::uint64_t first = ~std::uint64_t{0};
    std::uint64_t last = 0;
    for (const std::uint64_t iova : iovas) {
        const auto range = Range::of(iova, size == 0 ? 1 : size);
        if (!range) {
            return BareTable::kAll;
        }
        first = std::min(first, range->start);
        last = std::max(last, range->last);
    }
    return first <= last ? Range{first, last} : BareTable::kAll;
}

void map_batch(BareTable& table, py::handle iovas, py::handle addresses, std::uint64_t size,
               std::uint32_t protection) {
    const auto from = AddressArray(iovas, "iovas").copy();
    const auto to = AddressArray(addresses, "phys").copy();
    check_length("phys", to.size(), "iovas", from.size());
    std::size_t done = 0;
    const Result<> result = [&]() -> Result<> {
        const WithoutGil released;
        const RangeClaims::Claim claim(table.claims, hull(from, size));
        for (; done < from.size(); ++done) {
            const auto mapped =
                iommu::map(*table.domain, from[done], to[done], size, protection, table.faults);
            if (!mapped) {
                for (std::size_t at = 0; at < done; ++at) {
                    iommu::unmap_whole(*table.domain, from[at], size);
                }
                return mapped;
            }
        }
        return {};
    }();
    if (!result) {
        try {
            raise(result.error());
        } catch (py::error_already_set& error) {
            error.value().attr("index") = done;
            throw;
        }
    }
}

std::uint64_t unmap_batch(BareTable& table, py::handle iovas, std::uint64_t size) {
    const auto from = AddressArray(iovas, "iovas").copy();
    const WithoutGil released;
    const RangeClaims::Claim claim(table.claims, hull(from, size));
    std::uint64_t bytes = 0;
    for (const std::uint64_t iova : from) {
        bytes += iommu::unmap(*table.domain, iova, size, table.faults);
    }
    return bytes;
}

void iova_to_phys_batch(BareTable& table, py::handle iovas, py::handle out) {
    const AddressArray from(iovas, "iovas");
    AddressArray to(out, "out", AddressArray::Use::write);
    check_length("out", to.size(), "iovas", from.size());
    const WithoutGil released;
    for (std::size_t at = 0; at < from.size(); ++at) {
        to.set(at, table.domain->iova_to_phys(from[at]));
    }
}

std::uint64_t iova_to_phys(const BareTable& table, std::uint64_t iova) {
    return table.domain->iova_to_phys(iova);
}

std::optional<std::pair<std::uint64_t, std::uint32_t>> translate(const BareTable& table,
                                                                 std::uint64_t iova) {
    const auto found = table.domain->translate(iova);
    if (!found) {
        return std::nullopt;
    }
    return std::pair{found->address, found->protection};
}

py::list walk(const BareTable& table, std::uint64_t iova) {
    py::list steps;
    for (const iommu::WalkStep& step : table.domain->walk(iova)) {
        static constexpr const char* kKinds[] = {"nothing", "table", "page"};
        steps.append(py::make_tuple(step.level, step.table, step.index, step.entry,
                                    kKinds[static_cast<unsigned>(step.kind)], step.address,
                                    step.page_size, step.protection));
    }
    return steps;
}

void set_dirty_tracking(BareTable& table, bool on) {
    value_or_raise(table.domain->set_dirty_tracking(on));
}

void note_write(BareTable& table, std::uint64_t iova) {
    table.domain->note_write(iova);
}

// `bits` is a buffer of words with a bit for each page, or None. The range is claimed as for a map,
// because the sizes of its pages must not change meanwhile.
void read_dirty(BareTable& table, std::uint64_t iova, std::uint64_t last, std::uint64_t page_size,
                bool make_clean, py::handle bits) {
    if (last < iova || !is_power_of_two(page_size)) {
        throw py::value_error("no range, or no page size");
    }
    const auto read = [&](iommu::DirtyBitmap* bitmap) {
        const RangeClaims::Claim claim(table.claims, {iova, last});
        return table.domain->read_dirty({iova, last}, make_clean, bitmap);
    };
    if (bits.is_none()) {
        without_gil([&] { return read(nullptr); });
        return;
    }
    AddressArray to(bits, "bits", AddressArray::Use::write);
    std::vector<std::uint64_t> words(to.size());
    without_gil([&] {
        iommu::DirtyBitmap bitmap(iova, page_size, words);
        return read(&bitmap);
    });
    for (std::size_t at = 0; at < words.size(); ++at) {
        to.set(at, to[at] | words[at]);
    }
}

py::bytes read_memory(BareMemory& memory, std::uint64_t address, std::size_t bytes) {
    std::string data(std::min(bytes, std::size_t{1} << 20), '\0');
    if (data.size() != bytes || !(*memory).read(address, std::as_writable_bytes(std::span(data)))) {
        value_or_raise(Result<>(refuse(EFAULT, "{} bytes at {:x} are not RAM",
                                       Source{"kvmiommu: mm/physical_memory.h"}, bytes, address)));
    }
    return data;
}

}  // namespace

void register_iommu(py::module_& core) {
    using py::arg;
    core.def("formats", &formats, R"(formats()
--

A row for each page-table format.)");
    Class<BareMemory, std::shared_ptr<BareMemory>>(core, "PhysicalMemory", "RAM for page tables.")
        .def_init(&make_memory, arg("bytes"), arg("fragment"), arg("start"))
        .def_property_readonly(
            "bytes", [](BareMemory& memory) { return (*memory).bytes(); }, "Its size.")
        .def_property_readonly(
            "used_frames", [](BareMemory& memory) { return (*memory).used_frames(); },
            "Frames of 4096 bytes in use.")
        .def("read", &read_memory, arg("address"), arg("bytes"), R"(read(self, address, bytes)
--

The bytes at a physical address, 1 MiB at most.)");
    Class<BareTable, std::shared_ptr<BareTable>>(core, "PageTable",
                                                 "A page table that no IOMMU walks.")
        .def_init(&make_table, py::kw_only(), arg("format"), arg("pgsize_bitmap"), arg("bits"),
                  arg("levels"), arg("dirty_tracking"), arg("partial_unmap"), arg("overlap"),
                  arg("memory"))
        .def("map", &map, arg("iova"), arg("phys"), arg("size"), arg("prot"),
             R"(map(self, iova, phys, size, prot)
--

Maps a range.)")
        .def("unmap", &unmap, arg("iova"), arg("size"), R"(unmap(self, iova, size)
--

Unmaps a range: the bytes that went.)")
        .def("map_sg", &map_sg, arg("iova"), arg("pieces"), arg("prot"),
             R"(map_sg(self, iova, pieces, prot)
--

Maps pieces one behind the other: the bytes that were mapped.)")
        .def("map_batch", &map_batch, arg("iovas"), arg("phys"), arg("size"), arg("prot"),
             R"(map_batch(self, iovas, phys, size, prot)
--

Maps `size` bytes at each iova, all or none.)")
        .def("unmap_batch", &unmap_batch, arg("iovas"), arg("size"),
             R"(unmap_batch(self, iovas, size)
--

Unmaps `size` bytes at each iova: the bytes that went.)")
        .def("iova_to_phys", &iova_to_phys, arg("iova"), R"(iova_to_phys(self, iova)
--

Where an iova leads; 0: nowhere.)")
        .def("iova_to_phys_batch", &iova_to_phys_batch, arg("iovas"), arg("out"),
             R"(iova_to_phys_batch(self, iovas, out)
--

iova_to_phys() of each.)")
        .def("translate", &translate, arg("iova"), R"(translate(self, iova)
--

Where an iova leads and what a device may do there, or None.)")
        .def("walk", &walk, arg("iova"), R"(walk(self, iova)
--

The entries on the way to an iova.)")
        .def("set_dirty_tracking", &set_dirty_tracking, arg("on"), R"(set_dirty_tracking(self, on)
--

Marks pages that are written to, or no longer.)")
        .def("note_write", &note_write, arg("iova"), R"(note_write(self, iova)
--

A device writes to an iova.)")
        .def("read_dirty", &read_dirty, arg("iova"), arg("last"), arg("page_size"),
             arg("make_clean"), arg("bits"),
             R"(read_dirty(self, iova, last, page_size, make_clean, bits)
--

Sets a bit for each page that was written to.)")
        .def(
            "fail_nth", [](BareTable& table, std::uint32_t nth) { table.faults.fail_nth(nth); },
            arg("nth"), R"(fail_nth(self, nth)
--

Makes the nth allocation from now on fail; 0: none.)")
        .def_property_readonly(
            "pgsize_bitmap", [](const BareTable& table) { return table.domain->pgsize_bitmap(); },
            "Page sizes, a bit each.")
        .def_property_readonly(
            "aperture",
            [](const BareTable& table) {
                const Range range = table.domain->aperture();
                return std::pair{range.start, range.last};
            },
            "The first and the last iova.")
        .def_property_readonly(
            "table_bytes", [](const BareTable& table) { return table.domain->table_bytes(); },
            "Bytes of page-table memory in use.");
}

}  // namespace kvmiommu
