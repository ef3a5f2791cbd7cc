// SPDX-License-Identifier: MIT
//
// The functions that register the classes of the module, and the conversion of refusals to OSError.

#pragma once

#include <pybind11/pybind11.h>

#include <type_traits>
#include <utility>

#include "base/result.h"
#include "bindings/gil.h"

namespace kvmiommu {

void register_uapi(pybind11::module_& core);
void register_description(pybind11::module_& core);
void register_pci(pybind11::module_& core);
void register_iommu(pybind11::module_& core);
void register_pamu(pybind11::module_& core);
void register_semantics(pybind11::module_& core);
void register_system(pybind11::module_& core);
void register_process(pybind11::module_& core);

/// Raises OSError(errno, "reason [source]"), with the attributes `reason` and `source`.
[[noreturn]] void raise(const Refusal& refusal);

/// Returns the value or raises the refusal. The GIL is held.
template <class T>
T value_or_raise(Result<T>&& result) {
    if (!result) {
        raise(result.error());
    }
    if constexpr (!std::is_void_v<T>) {
        return *std::move(result);
    }
}

/// Runs a call of the core without the GIL.
template <class Call>
auto without_gil(Call&& call) {
    auto result = [&] {
        const WithoutGil released;
        return call();
    }();
    return value_or_raise(std::move(result));
}

}  // namespace kvmiommu
