// SPDX-License-Identifier: MIT
//
// A call of Python's into the core, from its entry to its return. Every method of the classes of
// this extension goes through one (class.h).
//
// What a device model raises meanwhile cannot unwind the core: the core ends the call as it would,
// and the call then raises the first exception in the place of its value. An exception of the
// core's own that would be raised becomes its context, those of models that come later become
// notes. One that is no Exception (KeyboardInterrupt, SystemExit, an outcome of pytest's) goes
// first, and from then on the call's models are not called any more.

#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "bindings/machine.h"

namespace kvmiommu {

class HostCall {
  public:
    /// What becomes of an exception that nobody below the call can raise.
    enum class Errors : std::uint8_t { raised, kept };

    /// Raises OSError EIO in a child of the process that made the machine. The machine stays until
    /// the call ends.
    explicit HostCall(std::shared_ptr<Machine> machine, Errors errors = Errors::raised);
    ~HostCall();
    HostCall(const HostCall&) = delete;
    HostCall& operator=(const HostCall&) = delete;

    /// The innermost one of this thread, or null.
    static HostCall* current() { return current_; }

    /// The calls of this thread that are in the core of `machine`.
    static std::uint32_t in_core_here(const Machine& machine);
    /// Python code runs that the core has called, for the length of a block. Null: no call.
    class InPython {
      public:
        explicit InPython(HostCall* call) : call_(call) {
            if (call_ != nullptr) {
                call_->in_core_ = false;
                call_->machine_->calls().fetch_sub(1);
            }
        }
        ~InPython() {
            if (call_ != nullptr) {
                call_->in_core_ = true;
                call_->machine_->calls().fetch_add(1);
            }
        }
        InPython(const InPython&) = delete;
        InPython& operator=(const InPython&) = delete;

      private:
        HostCall* const call_;
    };

    /// Runs the call itself and raises what it has to.
    template <class Call>
    auto run(Call&& call) -> decltype(call()) {
        try {
            if constexpr (std::is_void_v<decltype(call())>) {
                call();
                raise_first();
            } else {
                auto value = call();
                raise_first();
                return value;
            }
        } catch (pybind11::error_already_set& refused) {
            raise_instead_of(refused);
            throw;
        } catch (std::exception&) {
            raise_first();
            throw;
        }
    }

    /// A model raised `error`, or a signal handler did, whose call was only interrupted for it.
    void add(pybind11::object error, bool from_signal = false);
    /// No model is to be called any more.
    bool abandoned() const { return abandoned_; }

    /// The call sleeps no longer than this, and then raises TimeoutError. ValueError: no time.
    void set_timeout(double seconds);
    const auto& deadline() const { return deadline_; }
    void time_out() { timed_out_ = true; }

  private:
    void raise_first() {
        if (error_) [[unlikely]] {
            raise_error();
        }
    }
    [[noreturn]] void raise_error();
    // Returns when the refusal is to be raised.
    void raise_instead_of(pybind11::error_already_set& refused);

    static inline thread_local HostCall* current_ = nullptr;

    std::shared_ptr<Machine> machine_;
    HostCall* const outer_;
    const Errors errors_;
    bool abandoned_ = false;
    bool from_signal_ = false;
    bool timed_out_ = false;
    bool in_core_ = true;
    pybind11::object error_;
    std::optional<std::chrono::steady_clock::time_point> deadline_;
};

/// Keeps what a device model raised for the call that led to it, or else for its machine.
void add_model_error(Machine* machine, pybind11::error_already_set& error);

/// The sleep policy of this face: it notices signals, timeouts and the end of the interpreter.
fs::SleepPolicy& python_sleep();

}  // namespace kvmiommu
