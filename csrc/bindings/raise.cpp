// SPDX-License-Identifier: MIT

#include <string>

#include "bindings/python_package.h"
#include "bindings/register.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

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
        call.path == nullptr ? py::object(py::none())
                             : py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefaultAndSize(
                                   call.path->data(), static_cast<py::ssize_t>(call.path->size())));
    static constinit PackageObject refusal_class{"kvmiommu.errors", "Refusal"};
    const py::object error = refusal_class.get()(refusal.error(), refusal.reason(),
                                                 refusal.source(), request_of(call), filename);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw py::error_already_set();
}

}  // namespace kvmiommu
