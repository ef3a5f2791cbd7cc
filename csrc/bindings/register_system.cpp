// SPDX-License-Identifier: MIT
//
// _core.System: a running machine.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bindings/register.h"
#include "machine/system.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

using machine::System;

std::shared_ptr<System> make_system(const machine::Description& description) {
    return value_or_raise(System::create(description));
}

py::list trace(System& system) {
    py::list records;
    for (const TraceRecord& record : system.kernel().trace().records()) {
        const auto& arguments = record.arguments;
        records.append(py::make_tuple(
            record.sequence, record.task, record.call,
            py::make_tuple(arguments[0], arguments[1], arguments[2]),
            record.refusal ? -record.refusal->error() : record.value,
            record.refusal ? py::object(py::str(record.refusal->text())) : py::none()));
    }
    return records;
}

}  // namespace

void register_system(py::module_& core) {
    py::class_<System, std::shared_ptr<System>>(core, "System", "A running machine.")
        .def(py::init(&make_system), py::arg("description"))
        .def_property_readonly("name", &System::name)
        .def("close", &System::close, py::call_guard<py::gil_scoped_release>())
        .def(
            "keep_trace",
            [](System& system, std::size_t records) { system.kernel().trace().keep(records); },
            py::arg("records"))
        .def("trace", &trace)
        .def_property_readonly("alive",
                               [](System& system) { return system.kernel().census().report(); })
        .def_property_readonly(
            "used_frames", [](System& system) { return system.kernel().memory().used_frames(); })
        .def_property_readonly(
            "pinned_frames",
            [](System& system) { return system.kernel().memory().pinned_frames(); })
        .def_property_readonly(
            "total_pins", [](System& system) { return system.kernel().memory().total_pins(); });
}

}  // namespace kvmiommu
