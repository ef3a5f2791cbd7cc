// SPDX-License-Identifier: MIT
//
// Python's lock, given up and taken. When the interpreter ends, a daemon thread that takes the GIL
// is ended by CPython, which unwinds its stack (until 3.13: pthread_exit in take_gil); that must
// not go through the core. Such a thread stops here for good, as it does in CPython since 3.14.

#pragma once

#include <pybind11/pybind11.h>

#include <cxxabi.h>

#include <optional>
#include <utility>

namespace kvmiommu {

/// The interpreter ends, and threads other than the one that ends it are not to run on.
bool interpreter_ends();

/// Returns never: the process ends without this thread.
[[noreturn]] void stop_here();

/// Runs what may take the GIL, or run Python, somewhere above the core's frames on the stack.
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

/// The GIL is given up for the length of a block.
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

/// The GIL is held for the length of a block, whether the thread had it before or not.
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
