// SPDX-License-Identifier: MIT
//
// Objects of the Python package around this extension, which are looked up when they are first
// needed: the package imports the extension first.

#pragma once

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>

namespace kvmiommu {

class PackageObject {
  public:
    constexpr PackageObject(const char* module, const char* name) : module_(module), name_(name) {}

    /// The GIL is held.
    const pybind11::object& get() {
        return stored_
            .call_once_and_store_result(
                [this] { return pybind11::object(pybind11::module_::import(module_).attr(name_)); })
            .get_stored();
    }

  private:
    const char* const module_;
    const char* const name_;
    pybind11::gil_safe_call_once_and_store<pybind11::object> stored_;
};

}  // namespace kvmiommu
