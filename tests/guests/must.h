// SPDX-License-Identifier: MIT
//
// For what has to work before anything is tested or measured.

#pragma once

#include <cstdlib>
#include <iostream>
#include <type_traits>
#include <utility>

#include "base/base.h"

namespace kvmiommu::guests {

/// The value of a call; ends the program with the reason of a refusal.
template <class T>
T must(Result<T> result) {
    if (!result) {
        std::cerr << result.error().text() << '\n';
        std::abort();
    }
    if constexpr (!std::is_void_v<T>) {
        return *std::move(result);
    }
}

}  // namespace kvmiommu::guests
