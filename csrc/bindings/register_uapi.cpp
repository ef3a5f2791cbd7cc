// SPDX-License-Identifier: MIT
//
// _core.uapi: the numbers and layouts of the user interfaces that the core was compiled with. The
// Python package has its own; tests compare the two.

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

#include "uapi/layout.h"

namespace py = pybind11;

namespace kvmiommu {
namespace {

uapi::Abi abi_of(std::string_view name) {
    if (name == "generic")
        return uapi::Abi::generic;
    if (name == "power")
        return uapi::Abi::power;
    throw py::value_error("abi is \"generic\" or \"power\", not \"" + std::string(name) + "\"");
}

py::str text(std::string_view value) {
    return py::str(value.data(), value.size());
}

py::dict constants() {
    py::dict result;
    for (const uapi::ConstantEntry& entry : uapi::uapi_constants()) {
        if (entry.negative)
            result[text(entry.name)] = static_cast<std::int64_t>(entry.value);
        else
            result[text(entry.name)] = entry.value;
    }
    return result;
}

py::dict strings() {
    py::dict result;
    for (const uapi::StringEntry& entry : uapi::uapi_strings())
        result[text(entry.name)] = text(entry.value);
    return result;
}

py::dict requests(std::string_view abi_name) {
    const uapi::Abi abi = abi_of(abi_name);
    py::dict result;
    for (const uapi::RequestEntry& entry : uapi::uapi_requests())
        result[text(entry.name)] = entry.request.number(abi);
    return result;
}

py::dict structs() {
    py::dict result;
    for (const uapi::StructEntry& entry : uapi::uapi_structs()) {
        py::dict fields;
        for (const uapi::FieldEntry& field : entry.fields)
            fields[text(field.name)] = py::make_tuple(field.offset, field.size);
        result[text(entry.name)] = py::make_tuple(entry.size, fields);
    }
    return result;
}

}  // namespace

void register_uapi(py::module_& core) {
    py::module_ module =
        core.def_submodule("uapi", "Numbers and layouts of the user interfaces, as compiled.");
    module.def("constants", &constants, "constants()\n--\n\nEvery constant: name -> number.");
    module.def("strings", &strings, "strings()\n--\n\nEvery textual constant: name -> text.");
    module.def(
        "requests", &requests, py::arg("abi"),
        "requests(abi)\n--\n\nEvery ioctl: name -> number, encoded for \"generic\" or \"power\".");
    module.def("structs", &structs,
               "structs()\n--\n\nEvery struct: name -> (size, {field: (offset, size)}); members of "
               "an unnamed inner "
               "struct are named inner.member.");
}

}  // namespace kvmiommu
