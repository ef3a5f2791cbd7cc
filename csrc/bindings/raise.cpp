// SPDX-License-Identifier: MIT

#include <pybind11/gil_safe_call_once.h>

#include <string>

#include "bindings/register.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

// kvmiommu.Refusal.
const py::object& refusal_class() {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> stored;
    return stored
        .call_once_and_store_result(
            [] { return py::object(py::module_::import("kvmiommu.errors").attr("Refusal")); })
        .get_stored();
}

py::object request_of(const RefusedCall& call) {
    if (!call.request) {
        return py::none();
    }
    return py::make_tuple(*call.request, call.abi == uapi::Abi::power ? "power" : "generic",
                          call.file_kind == nullptr ? "" : call.file_kind);
}

}  // namespace

void raise(const Refusal& refusal, const RefusedCall& call) {
    const py::object filename =
        call.path == nullptr ? py::object(py::none()) : py::object(py::str(*call.path));
    const py::object error = refusal_class()(refusal.error(), refusal.reason(), refusal.source(),
                                             request_of(call), filename);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw py::error_already_set();
}

}  // namespace kvmiommu
