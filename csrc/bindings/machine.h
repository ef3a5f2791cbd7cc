// SPDX-License-Identifier: MIT
//
// What stands behind _core.System: the machine, the process of the host that it belongs to, and
// what its models raised when no call of Python's was there to raise it.
//
// Owners
//   _core.System owns a Machine; _core.Process and _core.View have a reference to the System of
//   Python's, so that the garbage collector sees one owner, and one to the Machine, so that they
//   may be destroyed in any order. A HostCall keeps its Machine until it returns: nothing is
//   destroyed below a call that uses it, and nothing waits for itself.

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
    /// As machine::System::create(); raises. The GIL is held.
    static std::shared_ptr<Machine> create(const machine::Description& description);
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    machine::System& system() { return *system_; }
    const mm::ForkGeneration& made() const { return made_; }
    /// For HostCall.
    std::shared_ptr<Machine> machine() { return shared_from_this(); }

    /// Closes the system. Raises what its models raised meanwhile and before, the first of it.
    std::vector<std::string> close();

    /// Calls that are in the core now, not in Python code that the core has called.
    std::atomic<std::uint32_t>& calls() { return calls_; }

    /// An exception that no call leads to. The GIL is held for all of these.
    void keep(pybind11::object error);
    /// All that were kept, the oldest first.
    std::vector<pybind11::object> take_errors();

    // --- for the garbage collector ---
    // Takes no lock: every other thread is stopped.
    int traverse(visitproc visit, void* argument) const;
    void clear() { take_errors(); }

  private:
    explicit Machine(std::unique_ptr<machine::System> system);
    // False: no other call than these was in the core. The GIL is not held.
    bool wait_for_calls(std::uint32_t own);

    const mm::ForkGeneration made_;
    std::unique_ptr<machine::System> system_;
    std::vector<PythonModel*> models_;  // the system's
    std::atomic<std::uint32_t> calls_{0};
    // Without a GIL several threads keep theirs at once.
    mutable Mutex errors_mutex_{bindings::lock_order::kErrors};
    std::vector<pybind11::object> errors_;
};

/// Gets the exceptions of machines that are gone, in place of sys.unraisablehook; None: nobody
/// does.
void set_unclaimed_hook(pybind11::object hook);

}  // namespace kvmiommu
