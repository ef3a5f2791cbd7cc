// SPDX-License-Identifier: MIT
//
// The object of _core.System: the machine, the host process that it belongs to, and exceptions that
// its models raised outside of any call from Python.
//
// Owners
//   _core.System owns a Machine. _core.Process and _core.View have a reference to Python's System,
//   for the garbage collector, and one to the Machine, so that they can be destroyed in any order.
//   A HostCall keeps its Machine until it returns, so that no machine is destroyed within its own
//   call.

#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bindings/lock_order.h"
#include "machine/system.h"
#include "mm/fork_generation.h"

namespace kvmiommu {

class PythonModel;

class Machine : public std::enable_shared_from_this<Machine> {
  public:
    /// Raises the errors of machine::System::create(). The GIL is held.
    static std::shared_ptr<Machine> create(const machine::Description& description);
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    machine::System& system() { return *system_; }
    const mm::ForkGeneration& made() const { return made_; }
    /// For HostCall.
    std::shared_ptr<Machine> machine() { return shared_from_this(); }

    /// Closes the system. Raises the first exception that its models have raised.
    std::vector<std::string> close();

    /// Calls that are in the core now, not in Python code that the core has called.
    std::atomic<std::uint32_t>& calls() { return calls_; }

    /// Keeps an exception that was raised outside of any call. The GIL is held for all of these.
    void keep(pybind11::object error);
    /// The exceptions that were kept, the oldest first.
    std::vector<pybind11::object> take_errors();

    // --- for the garbage collector ---
    // Takes no lock: every other thread is stopped.
    int traverse(visitproc visit, void* argument) const;
    void clear() { take_errors(); }

  private:
    explicit Machine(std::unique_ptr<machine::System> system);
    // False: there was no call in the core but the caller's. The GIL is not held.
    bool wait_for_calls(std::uint32_t own);

    const mm::ForkGeneration made_;
    std::unique_ptr<machine::System> system_;
    std::vector<PythonModel*> models_;  // the system's
    std::atomic<std::uint32_t> calls_{0};
    // Needed in builds of Python without a GIL.
    mutable Mutex errors_mutex_{bindings::lock_order::kErrors};
    std::vector<pybind11::object> errors_;
};

/// Sets the callable that gets the exceptions of machines that are destroyed, instead of
/// sys.unraisablehook; None: none.
void set_unclaimed_hook(pybind11::object hook);

}  // namespace kvmiommu
