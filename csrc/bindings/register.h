// SPDX-License-Identifier: MIT
//
// The functions that register the classes of the module, and the conversion of refusals to OSError.

#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/result.h"
#include "bindings/gil.h"
#include "uapi/ioctl.h"

namespace kvmiommu {

void register_uapi(pybind11::module_& core);
void register_description(pybind11::module_& core);
void register_pci(pybind11::module_& core);
void register_iommu(pybind11::module_& core);
void register_pamu(pybind11::module_& core);
void register_semantics(pybind11::module_& core);
void register_system(pybind11::module_& core);
void register_process(pybind11::module_& core);

/// What is known of a call that was refused, besides its Refusal.
struct RefusedCall {
    /// A request of an ioctl, as the machine's ABI encodes it, and the kind of the file, if known.
    std::optional<std::uint32_t> request = std::nullopt;
    const char* file_kind = nullptr;
    uapi::Abi abi = uapi::Abi::generic;
    /// The path of an open().
    const std::string* path = nullptr;
};

/// Raises kvmiommu.Refusal, an OSError.
[[noreturn]] void raise(const Refusal& refusal, const RefusedCall& call = {});

/// Returns the value or raises the refusal. The GIL is held.
template <class T>
T value_or_raise(Result<T>&& result, const RefusedCall& call = {}) {
    if (!result) {
        raise(result.error(), call);
    }
    if constexpr (!std::is_void_v<T>) {
        return *std::move(result);
    }
}

/// Runs a call of the core without the GIL.
template <class Call>
auto without_gil(Call&& call, const RefusedCall& refused = {}) {
    auto result = [&] {
        const WithoutGil released;
        return call();
    }();
    return value_or_raise(std::move(result), refused);
}

}  // namespace kvmiommu
