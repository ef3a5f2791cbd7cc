// SPDX-License-Identifier: MIT
//
// _core.Description: a machine as plain data, filled in by kvmiommu.machine.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings/class.h"
#include "bindings/python_model.h"
#include "bindings/register.h"
#include "machine/description.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

using machine::Description;

iommu::ReservedType reserved_type(const std::string& name) {
    if (name == "direct") {
        return iommu::ReservedType::direct;
    }
    if (name == "direct-relaxable") {
        return iommu::ReservedType::direct_relaxable;
    }
    if (name == "reserved") {
        return iommu::ReservedType::reserved;
    }
    if (name == "msi") {
        return iommu::ReservedType::msi;
    }
    if (name == "sw-msi") {
        return iommu::ReservedType::sw_msi;
    }
    throw py::value_error("no type of reserved region is called \"" + name + "\"");
}

void add_iommu(Description& description, const std::string& name, const std::string& driver,
               unsigned address_width, std::uint64_t page_sizes, bool enforces_cache_coherency,
               bool isolated_msi, bool dirty_tracking, unsigned stage, std::uint64_t window_size,
               unsigned table_levels, bool eeh) {
    description.iommus.push_back({driver,
                                  {.name = name,
                                   .address_width = address_width,
                                   .page_sizes = page_sizes,
                                   .enforces_cache_coherency = enforces_cache_coherency,
                                   .isolated_msi = isolated_msi,
                                   .dirty_tracking = dirty_tracking,
                                   .stage = stage,
                                   .window_size = window_size,
                                   .table_levels = table_levels,
                                   .eeh = eeh,
                                   .reserved = {}}});
}

// In the order of the enumerations; the Python package checks the names.
void set_semantics(Description& description, unsigned semantics, unsigned after_map) {
    if (semantics > static_cast<unsigned>(iommu::Semantics::device) ||
        after_map > static_cast<unsigned>(iommu::AttachAfterMap::second_table)) {
        throw py::value_error("no such semantics");
    }
    description.rules = {static_cast<iommu::Semantics>(semantics),
                         static_cast<iommu::AttachAfterMap>(after_map)};
}

void add_reserved(Description& description, std::uint64_t start, std::uint64_t last,
                  const std::string& type) {
    if (description.iommus.empty() || last < start) {
        throw py::value_error(
            "a reserved region belongs to the IOMMU added last, and start <= last");
    }
    description.iommus.back().instance.reserved.push_back({{start, last}, reserved_type(type)});
}

void add_pci_reserved(Description& description, std::uint64_t start, std::uint64_t last,
                      const std::string& type) {
    if (description.pci.empty() || last < start) {
        throw py::value_error(
            "a reserved region belongs to the PCI function added last, and start <= last");
    }
    description.pci.back().reserved.push_back({{start, last}, reserved_type(type)});
}

void add_pci(Description& description, const std::string& address, const std::string& model,
             const std::string& driver, const std::string& iommu,
             std::optional<std::uint32_t> group, const std::vector<std::uint64_t>& bars,
             std::optional<std::uint8_t> interrupt_line, const py::object& hardware) {
    description.pci.push_back({address, model, driver, iommu, group, bars, interrupt_line});
    if (!hardware.is_none()) {
        // Created here, where it can raise. A description is used for one machine only.
        auto made = std::make_shared<std::unique_ptr<PythonModel>>();
        try {
            *made = std::make_unique<PythonModel>(hardware);
        } catch (...) {
            description.pci.pop_back();
            throw;
        }
        description.pci.back().hardware = [made] { return std::move(*made); };
    }
}

fs::Arch arch_of(const std::string& name) {
    if (name == "x86_64") {
        return fs::Arch::x86_64;
    }
    if (name == "ppc64le") {
        return fs::Arch::ppc64le;
    }
    if (name == "aarch64") {
        return fs::Arch::aarch64;
    }
    if (name == "riscv64") {
        return fs::Arch::riscv64;
    }
    throw py::value_error("no architecture is called \"" + name + "\"");
}

fs::Interfaces interfaces_of(const std::string& release) {
    if (release == "6.12") {
        return fs::Interfaces::v6_12;
    }
    if (release == "7.2") {
        return fs::Interfaces::v7_2;
    }
    throw py::value_error("no interfaces of \"" + release + "\"");
}

void set_platform(Description& description, const std::string& arch,
                  const std::string& interfaces) {
    description.arch = arch_of(arch);
    description.interfaces = interfaces_of(interfaces);
}

void add_fixed(Description& description, const std::string& name) {
    const auto bug = fs::kernel_bug(name);
    if (!bug) {
        throw py::value_error("no bug is called \"" + name + "\"");
    }
    description.fixed.add(*bug);
}

void add_proposal(Description& description, const std::string& name) {
    const auto proposal = fs::proposal(name);
    if (!proposal) {
        throw py::value_error("no proposal is called \"" + name + "\"");
    }
    description.proposals.add(*proposal);
}

void set_vfio_options(Description& description, std::uint32_t dma_entry_limit,
                      bool disable_hugepages, bool allow_unsafe_interrupts,
                      bool enable_unsafe_noiommu_mode) {
    description.vfio = {dma_entry_limit, disable_hugepages, allow_unsafe_interrupts,
                        enable_unsafe_noiommu_mode};
}

constexpr char kSetPlatform[] = R"(set_platform(self, arch, interfaces)
--

The architecture, as a description has it, and the release of the user interfaces.

Raises ValueError for an unknown name.)";

constexpr char kAddFixed[] = R"(add_fixed(self, name)
--

A bug of the real kernel that is not to be reproduced.)";

constexpr char kAddProposal[] = R"(add_proposal(self, name)
--

Has the machine answer a proposal that was never merged.

Raises ValueError for an unknown name.)";

constexpr char kSetVfioOptions[] =
    R"(set_vfio_options(self, *, dma_entry_limit, disable_hugepages, allow_unsafe_interrupts, enable_unsafe_noiommu_mode)
--

Parameters of the modules vfio and vfio_iommu_type1.)";

constexpr char kAddIommu[] =
    R"(add_iommu(self, *, name, driver, address_width, page_sizes, enforces_cache_coherency, isolated_msi, dirty_tracking, stage, window_size=0, table_levels=1, eeh=False)
--

An IOMMU: bits of an iova, page sizes as a bit each. The last three are those of POWER.)";

constexpr char kSetSemantics[] = R"(set_semantics(self, semantics, after_map)
--

What a domain may span, and what becomes of a device that lacks page sizes in use.)";

constexpr char kAddReserved[] = R"(add_reserved(self, *, start, last, type)
--

A reserved region [start, last] of the IOMMU that was added last.)";

constexpr char kAddPciReserved[] = R"(add_pci_reserved(self, *, start, last, type)
--

A reserved region [start, last] of the PCI function that was added last.)";

constexpr char kAddEmulated[] = R"(add_emulated(self, *, name, group)
--

An emulated device in a group of its own.)";

constexpr char kAddPci[] =
    R"(add_pci(self, *, address, model, driver, iommu, group, bars=[], interrupt_line=None, hardware=None)
--

A PCI function; `iommu` is the name of one that was added, or "". `bars` are addresses of its
regions, in their order; those left out are chosen. `interrupt_line` is what that register holds;
None: what firmware writes. `hardware` is a device model in the place of the one that `model` names.)";

}  // namespace

void register_description(py::module_& core) {
    using py::arg;
    Class<Description>(core, "Description", "What a machine is made of, as plain data.")
        .def_init()
        .def_readwrite("name", &Description::name)
        .def_readwrite("page_size", &Description::page_size, "In bytes.")
        .def_readwrite("memory", &Description::memory, "In bytes.")
        .def_readwrite("memory_start", &Description::memory_start, "Its first address.")
        .def_readwrite("fragmentation", &Description::fragmentation,
                       "The longest contiguous block in bytes; 0: no limit.")
        .def_readwrite("has_vfio", &Description::has_vfio)
        .def_readwrite("has_kvm", &Description::has_kvm)
        .def_readwrite("iommu_strict", &Description::iommu_strict)
        .def("set_semantics", &set_semantics, arg("semantics"), arg("after_map"), kSetSemantics)
        .def_readwrite("firmware", &Description::firmware, "Firmware has set up the PCI functions.")
        .def("set_platform", &set_platform, arg("arch"), arg("interfaces"), kSetPlatform)
        .def("add_fixed", &add_fixed, arg("name"), kAddFixed)
        .def("add_proposal", &add_proposal, arg("name"), kAddProposal)
        .def("set_vfio_options", &set_vfio_options, py::kw_only(), arg("dma_entry_limit"),
             arg("disable_hugepages"), arg("allow_unsafe_interrupts"),
             arg("enable_unsafe_noiommu_mode"), kSetVfioOptions)
        .def("add_iommu", &add_iommu, py::kw_only(), arg("name"), arg("driver"),
             arg("address_width"), arg("page_sizes"), arg("enforces_cache_coherency"),
             arg("isolated_msi"), arg("dirty_tracking"), arg("stage"), arg("window_size") = 0,
             arg("table_levels") = 1, arg("eeh") = false, kAddIommu)
        .def("add_reserved", &add_reserved, py::kw_only(), arg("start"), arg("last"), arg("type"),
             kAddReserved)
        .def(
            "add_emulated",
            [](Description& description, const std::string& name, std::uint32_t group) {
                description.emulated.push_back({name, group});
            },
            py::kw_only(), arg("name"), arg("group"), kAddEmulated)
        .def("add_pci", &add_pci, py::kw_only(), arg("address"), arg("model"), arg("driver"),
             arg("iommu"), arg("group"), arg("bars") = std::vector<std::uint64_t>{},
             arg("interrupt_line") = py::none(), arg("hardware") = py::none(), kAddPci)
        .def("add_pci_reserved", &add_pci_reserved, py::kw_only(), arg("start"), arg("last"),
             arg("type"), kAddPciReserved);
}

}  // namespace kvmiommu
