// SPDX-License-Identifier: MIT
//
// Release and acquisition of the GIL. When the interpreter ends, CPython ends a daemon thread that
// takes the GIL, and unwinds its stack (until 3.13: pthread_exit in take_gil), which must not
// happen below the core. Such a thread hangs here, as it does in CPython since 3.14.

#pragma once

#include <pybind11/pybind11.h>

#include <cxxabi.h>

#include <optional>
#include <utility>

namespace kvmiommu {

/// Is the interpreter ending, in a thread that must not continue?
bool interpreter_ends();

/// Hangs until the process ends.
[[noreturn]] void stop_here();

/// Runs a call that may take the GIL or run Python above frames of the core.
template <class Call>
decltype(auto) unless_interpreter_ends(Call&& call) {
#if defined(__GLIBCXX__)
    try {
        return std::forward<Call>(call)();
    } catch (abi::__forced_unwind&) {
        stop_here();
    }
#else
    return std::forward<Call>(call)();
#endif
}

/// Releases the GIL for the length of a block.
class WithoutGil {
  public:
    WithoutGil() : state_(PyEval_SaveThread()) {}
    ~WithoutGil() {
        unless_interpreter_ends([&] { PyEval_RestoreThread(state_); });
    }
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

  private:
    PyThreadState* const state_;
};

/// Holds the GIL for the length of a block; the thread may hold it already.
class WithGil {
  public:
    WithGil() {
        unless_interpreter_ends([&] { acquired_.emplace(); });
    }
    WithGil(const WithGil&) = delete;
    WithGil& operator=(const WithGil&) = delete;

  private:
    std::optional<pybind11::gil_scoped_acquire> acquired_;
};

}  // namespace kvmiommu
