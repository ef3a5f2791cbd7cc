// SPDX-License-Identifier: MIT
//
// _core.IommuBoard: IOMMUs and domains without a machine, to try out what a domain may span.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/class.h"
#include "bindings/lock_order.h"
#include "bindings/register.h"
#include "machine/iommu_board.h"
#include "mm/fork_generation.h"
#include "spapr/paging_domain.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

using machine::IommuBoard;

// Calls of Python's threads are serialized.
struct Board {
    explicit Board(std::unique_ptr<IommuBoard> made) : board(std::move(made)) {}

    const mm::ForkGeneration& made() const { return made_; }

    const mm::ForkGeneration made_;
    const std::unique_ptr<IommuBoard> board;
    Mutex mutex{bindings::lock_order::kBoard};
};

struct BoardDevice {
    const mm::ForkGeneration& made() const { return owner->made(); }

    std::shared_ptr<Board> owner;
    iommu::Device* device;
};

struct BoardDomain {
    const mm::ForkGeneration& made() const { return owner->made(); }

    std::shared_ptr<Board> owner;
    std::unique_ptr<iommu::Domain> domain;
};

template <class Call>
auto locked(const std::shared_ptr<Board>& board, Call&& call) {
    return without_gil([&] {
        const Lock lock(board->mutex);
        return call(*board->board);
    });
}

std::shared_ptr<Board> make_board(unsigned semantics, unsigned after_map) {
    if (semantics > static_cast<unsigned>(iommu::Semantics::device) ||
        after_map > static_cast<unsigned>(iommu::AttachAfterMap::second_table)) {
        throw py::value_error("no such semantics");
    }
    return mm::owned_by_host(std::make_unique<Board>(
        value_or_raise(IommuBoard::create({static_cast<iommu::Semantics>(semantics),
                                           static_cast<iommu::AttachAfterMap>(after_map)}))));
}

void add_iommu(const std::shared_ptr<Board>& self, const std::string& name,
               const std::string& driver, unsigned address_width, std::uint64_t page_sizes) {
    locked(self, [&](IommuBoard& board) {
        return board.add_iommu(driver, {.name = name,
                                        .address_width = address_width,
                                        .page_sizes = page_sizes,
                                        .reserved = {}});
    });
}

BoardDevice add_device(const std::shared_ptr<Board>& self, const std::string& name,
                       const std::string& iommu) {
    return {self, locked(self, [&](IommuBoard& board) { return board.add_device(name, iommu); })};
}

std::shared_ptr<BoardDomain> make_domain(const BoardDevice& device) {
    value_or_raise(device.made().check());
    auto domain =
        locked(device.owner, [&](IommuBoard& board) { return board.domain(*device.device); });
    return mm::owned_by_host(
        std::unique_ptr<BoardDomain>(new BoardDomain{device.owner, std::move(domain)}));
}

// A domain and a device of different boards cannot be combined.
void check_board(const BoardDomain& domain, const BoardDevice& device) {
    if (domain.owner != device.owner) {
        throw py::value_error("the device is of another board than the domain");
    }
}

std::vector<std::uint64_t> tables_of(const iommu::Domain& domain) {
    if (const auto* const shared = dynamic_cast<const iommu::SharedDomain*>(&domain)) {
        return shared->tables();
    }
    return {domain.table_bytes()};
}

std::uint64_t lookup(BoardDomain& self, std::uint64_t iova, const BoardDevice* device) {
    const auto* const shared = dynamic_cast<const iommu::SharedDomain*>(self.domain.get());
    if (device == nullptr || shared == nullptr) {
        return self.domain->iova_to_phys(iova);
    }
    check_board(self, *device);
    return shared->iova_to_phys_of(*device->device, iova);
}

spapr::PagingDomain& windows_of(iommu::Domain& domain) {
    auto* const windows = dynamic_cast<spapr::PagingDomain*>(&domain);
    if (windows == nullptr) {
        throw py::value_error("the domain has page tables, not windows");
    }
    return *windows;
}

std::vector<std::uint64_t> tces(BoardDomain& self, std::uint64_t start, std::uint64_t count) {
    const auto table = windows_of(*self.domain).window(start);
    std::vector<std::uint64_t> entries;
    for (std::uint64_t page = 0; table && page < std::min(count, table->size()); ++page) {
        entries.push_back(table->get((start >> table->page_shift()) + page).entry());
    }
    return entries;
}

constexpr char kUnmapFor[] = R"(unmap(self, iova, phys, size)
--

Unmaps for this device alone what leads to `phys`.)";

}  // namespace

void register_semantics(py::module_& core) {
    using py::arg;
    Class<Board, std::shared_ptr<Board>>(core, "IommuBoard", "IOMMUs, devices and domains.")
        .def_init(&make_board, arg("semantics"), arg("after_map"))
        .def("add_iommu", &add_iommu, py::kw_only(), arg("name"), arg("driver"), arg("bits"),
             arg("pgsize_bitmap"),
             R"(add_iommu(self, *, name, driver, bits, pgsize_bitmap)
--

An IOMMU.)")
        .def("add_device", &add_device, arg("name"), arg("iommu"), R"(add_device(self, name, iommu)
--

A device behind an IOMMU.)")
        .def(
            "fail_nth",
            [](const std::shared_ptr<Board>& self, std::uint32_t nth) {
                self->board->faults.fail_nth(nth);
            },
            arg("nth"), R"(fail_nth(self, nth)
--

The nth allocation from now on fails.)");
    Class<BoardDevice>(core, "BoardDevice", "A device behind an IOMMU.")
        .def(
            "map",
            [](BoardDevice& self, std::uint64_t iova, std::uint64_t address, std::uint64_t size,
               std::uint32_t protection) {
                locked(self.owner, [&](IommuBoard& board) {
                    return board.map(*self.device, iova, address, size, protection);
                });
            },
            arg("iova"), arg("phys"), arg("size"), arg("prot"),
            R"(map(self, iova, phys, size, prot)
--

Maps for this device alone.)")
        .def(
            "unmap",
            [](BoardDevice& self, std::uint64_t iova, std::uint64_t address, std::uint64_t size) {
                return locked(self.owner, [&](IommuBoard& board) {
                    return board.unmap(*self.device, iova, address, size);
                });
            },
            arg("iova"), arg("phys"), arg("size"), kUnmapFor)
        .def(
            "iova_to_phys",
            [](BoardDevice& self, std::uint64_t iova) {
                return locked(self.owner, [&](IommuBoard& board) {
                    return Result<std::uint64_t>(board.iova_to_phys(*self.device, iova));
                });
            },
            arg("iova"), R"(iova_to_phys(self, iova)
--

Where an iova of this device leads; 0: nowhere.)");
    Class<BoardDomain, std::shared_ptr<BoardDomain>>(core, "BoardDomain",
                                                     "A domain under a board's semantics.")
        .def_init(&make_domain, arg("device"))
        .def(
            "attach",
            [](BoardDomain& self, const BoardDevice& device) {
                check_board(self, device);
                locked(self.owner, [&](IommuBoard& board) {
                    return board.attach(*self.domain, *device.device);
                });
            },
            arg("device"), R"(attach(self, device)
--

Puts a device into the domain.)")
        .def(
            "detach",
            [](BoardDomain& self, const BoardDevice& device) {
                check_board(self, device);
                locked(self.owner, [&](IommuBoard&) {
                    self.domain->detach_device(*device.device);
                    return Result<>();
                });
            },
            arg("device"), R"(detach(self, device)
--

Takes a device out of the domain.)")
        .def(
            "map",
            [](BoardDomain& self, std::uint64_t iova, std::uint64_t address, std::uint64_t size,
               std::uint32_t protection) {
                locked(self.owner, [&](IommuBoard& board) {
                    return iommu::map(*self.domain, iova, address, size, protection, board.faults);
                });
            },
            arg("iova"), arg("phys"), arg("size"), arg("prot"),
            R"(map(self, iova, phys, size, prot)
--

Maps a range.)")
        .def(
            "unmap",
            [](BoardDomain& self, std::uint64_t iova, std::uint64_t size) {
                return locked(self.owner, [&](IommuBoard& board) {
                    return Result<std::uint64_t>(
                        iommu::unmap(*self.domain, iova, size, board.faults));
                });
            },
            arg("iova"), arg("size"), R"(unmap(self, iova, size)
--

Unmaps a range.)")
        .def("iova_to_phys", &lookup, arg("iova"), arg("device") = py::none(),
             R"(iova_to_phys(self, iova, device=None)
--

Where an iova leads, of a device that is attached or of any; 0: nowhere.)")
        .def(
            "create_window",
            [](BoardDomain& self, std::uint64_t start, std::uint64_t size, unsigned page_shift) {
                locked(self.owner, [&](IommuBoard& board) {
                    return windows_of(*self.domain)
                        .create_window(start, size, page_shift, board.faults);
                });
            },
            arg("start"), arg("size"), arg("page_shift"),
            R"(create_window(self, start, size, page_shift)
--

Makes iovas valid.)")
        .def(
            "remove_window",
            [](BoardDomain& self, std::uint64_t start) {
                locked(self.owner,
                       [&](IommuBoard&) { return windows_of(*self.domain).remove_window(start); });
            },
            arg("start"), R"(remove_window(self, start)
--

Unmaps a window and makes its iovas invalid.)")
        .def("tces", &tces, arg("start"), arg("count"), R"(tces(self, start, count)
--

Entries of the window with this iova, from it on.)")
        .def_property_readonly(
            "pgsize_bitmap", [](BoardDomain& self) { return self.domain->pgsize_bitmap(); },
            "Page sizes that can be mapped, a bit each.")
        .def_property_readonly(
            "tables", [](BoardDomain& self) { return tables_of(*self.domain); },
            "The bytes of each page table of the domain.");
}

}  // namespace kvmiommu
