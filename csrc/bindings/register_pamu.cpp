// SPDX-License-Identifier: MIT
//
// _core.PamuDomain: an aperture and its windows.

#include <pybind11/pybind11.h>

#include "bindings/class.h"
#include "bindings/register.h"
#include "iommu/drivers/fsl_pamu.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

using iommu::PamuDomain;

void set_geometry(PamuDomain& domain, std::uint64_t start, std::uint64_t size) {
    value_or_raise(domain.set_geometry(start, size));
}

void set_windows(PamuDomain& domain, std::uint32_t count) {
    value_or_raise(domain.set_windows(count));
}

void enable_window(PamuDomain& domain, std::uint32_t number, std::uint64_t phys, std::uint64_t size,
                   std::uint32_t prot) {
    value_or_raise(domain.enable_window(number, phys, size, prot));
}

void disable_window(PamuDomain& domain, std::uint32_t number) {
    value_or_raise(domain.disable_window(number));
}

void enable_dma(PamuDomain& domain, bool on) {
    value_or_raise(domain.enable_dma(on));
}

py::object translate(const PamuDomain& domain, std::uint64_t iova) {
    const auto found = domain.translate(iova);
    return found ? py::object(py::make_tuple(found->address, found->protection)) : py::none();
}

}  // namespace

void register_pamu(py::module_& core) {
    using py::arg;
    Class<PamuDomain>(core, "PamuDomain", "An aperture and its windows.")
        .def_init()
        .def("set_geometry", &set_geometry, arg("start"), arg("size"),
             "set_geometry(self, start, size)\n--\n\nThe aperture.")
        .def("set_windows", &set_windows, arg("count"),
             "set_windows(self, count)\n--\n\nCuts the aperture.")
        .def("enable_window", &enable_window, arg("number"), arg("phys"), arg("size"), arg("prot"),
             "enable_window(self, number, phys, size, prot)\n--\n\nMaps a window.")
        .def("disable_window", &disable_window, arg("number"),
             "disable_window(self, number)\n--\n\nUnmaps a window.")
        .def("enable_dma", &enable_dma, arg("on"),
             "enable_dma(self, on)\n--\n\nLets devices through, or no longer.")
        .def("iova_to_phys", &PamuDomain::iova_to_phys, arg("iova"),
             "iova_to_phys(self, iova)\n--\n\nWhere an iova leads; 0: nowhere.")
        .def(
            "translate", &translate, arg("iova"),
            "translate(self, iova)\n--\n\nWhat a device would reach: address and rights, or None.");
}

}  // namespace kvmiommu
