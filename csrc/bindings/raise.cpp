// SPDX-License-Identifier: MIT

#include <string>

#include "bindings/register.h"

namespace py = pybind11;

namespace kvmiommu {

void raise(const Refusal& refusal) {
    const std::string reason = refusal.reason();
    const std::string text = reason + " [" + refusal.source() + "]";
    // OSError selects the subclass for the errno: PermissionError, FileExistsError, …
    const py::object error =
        py::reinterpret_borrow<py::object>(PyExc_OSError)(refusal.error(), text);
    error.attr("reason") = reason;
    error.attr("source") = refusal.source();
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw py::error_already_set();
}

}  // namespace kvmiommu
