// SPDX-License-Identifier: MIT

#include "bindings/arguments.h"

#include "bindings/python_package.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

[[noreturn]] void raise_as(PyObject* type, const py::str& text) {
    PyErr_SetObject(type, text.ptr());
    throw py::error_already_set();
}

[[noreturn]] void wrong_type(py::handle value, const ArgumentName& name, const char* expected) {
    raise_as(PyExc_TypeError,
             py::str("{} must be {}, not {}")
                 .format(name.text(), expected, py::type::handle_of(value).attr("__name__")));
}

template <class Low, class High>
[[noreturn]] void out_of_range(py::handle number, const ArgumentName& name, Low low, High high) {
    raise_as(
        PyExc_OverflowError,
        py::str("{} is {:#x}: must be from {:#x} to {:#x}").format(name.text(), number, low, high));
}

// An int: the value itself, or what its __index__() returns.
py::object integer(py::handle value, const ArgumentName& name) {
    if (PyLong_Check(value.ptr())) {
        return py::reinterpret_borrow<py::object>(value);
    }
    if (PyIndex_Check(value.ptr()) == 0) {
        wrong_type(value, name, "an integer");
    }
    auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!number) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {  // an array
            PyErr_Clear();
            wrong_type(value, name, "an integer");
        }
        throw py::error_already_set();
    }
    return number;
}

}  // namespace

std::string ArgumentName::text() const {
    return of_ == nullptr ? name_ : of_->text() + "[" + std::to_string(item_) + "]";
}

std::int64_t signed_integer(py::handle value, const ArgumentName& name, std::int64_t low,
                            std::int64_t high) {
    const py::object number = integer(value, name);
    int overflow = 0;
    const std::int64_t found = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    if (overflow != 0 || found < low || found > high) [[unlikely]] {
        out_of_range(number, name, low, high);
    }
    return found;
}

std::uint64_t unsigned_integer(py::handle value, const ArgumentName& name, std::uint64_t high) {
    const py::object number = integer(value, name);
    const std::uint64_t found = PyLong_AsUnsignedLongLong(number.ptr());
    if (found == ~std::uint64_t{0} && PyErr_Occurred() != nullptr) [[unlikely]] {
        PyErr_Clear();
        out_of_range(number, name, 0, high);
    }
    if (found > high) [[unlikely]] {
        out_of_range(number, name, 0, high);
    }
    return found;
}

std::uint64_t pattern(py::handle value, const ArgumentName& name) {
    const py::object number = integer(value, name);
    const std::uint64_t found = PyLong_AsUnsignedLongLong(number.ptr());
    if (found == ~std::uint64_t{0} && PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        int overflow = 0;
        const std::int64_t negative = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
        if (overflow != 0) {
            out_of_range(number, name, std::numeric_limits<std::int64_t>::min(),
                         std::numeric_limits<std::uint64_t>::max());
        }
        return static_cast<std::uint64_t>(negative);
    }
    return found;
}

double floating_point(py::handle value, const ArgumentName& name) {
    const double found = PyFloat_AsDouble(value.ptr());
    if (found == -1.0 && PyErr_Occurred() != nullptr) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
            PyErr_Clear();
            wrong_type(value, name, "a number");
        }
        if (PyErr_ExceptionMatches(PyExc_OverflowError) != 0) {
            PyErr_Clear();
            raise_as(PyExc_OverflowError,
                     py::str("{} is too large for a float").format(name.text()));
        }
        throw py::error_already_set();
    }
    return found;
}

std::string text_of(py::handle value, const ArgumentName& name) {
    if (PyUnicode_Check(value.ptr()) == 0) {
        wrong_type(value, name, "a str");
    }
    Py_ssize_t bytes = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(value.ptr(), &bytes);
    if (text == nullptr) {
        throw py::error_already_set();
    }
    return {text, static_cast<std::size_t>(bytes)};
}

std::string path_of(py::handle value, const ArgumentName& name) {
    PyObject* encoded = nullptr;
    if (PyUnicode_FSConverter(value.ptr(), &encoded) == 0) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
            PyErr_Clear();
            wrong_type(value, name, "a path");
        }
        throw py::error_already_set();
    }
    const auto bytes = py::reinterpret_steal<py::bytes>(encoded);
    return std::string(bytes);
}

py::object sequence_of(py::handle value, const ArgumentName& name) {
    auto items = py::reinterpret_steal<py::object>(PySequence_Fast(value.ptr(), ""));
    if (!items) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
            PyErr_Clear();
            wrong_type(value, name, "a sequence");
        }
        throw py::error_already_set();
    }
    return items;
}

int descriptor(py::handle value, const ArgumentName& name, const Self& self) {
    if (PyLong_Check(value.ptr()) != 0 || PyIndex_Check(value.ptr()) != 0) [[likely]] {
        return static_cast<int>(signed_integer(value, name, std::numeric_limits<int>::min(),
                                               std::numeric_limits<int>::max()));
    }
    static constinit PackageObject fd_of{"kvmiommu.descriptor", "fd_of"};
    const py::object number = fd_of.get()(self.find(self.object), name.text(), value);
    return static_cast<int>(signed_integer(number, name, std::numeric_limits<int>::min(),
                                           std::numeric_limits<int>::max()));
}

}  // namespace kvmiommu
