// SPDX-License-Identifier: MIT
//
// A call from Python into the core, from its entry to its return. Every method of the classes of
// this extension is one (class.h).
//
// An exception of a device model cannot unwind the core: the core completes the call, which then
// raises the first exception instead of returning its value. An OSError of the core becomes the
// context of that exception; exceptions that models raise later become notes. A BaseException that
// is not an Exception (KeyboardInterrupt, SystemExit, an outcome of pytest) takes precedence, and
// after it no model is called until the call returns.

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
    /// Whether the call raises exceptions of models, or keeps them for the machine.
    enum class Errors : std::uint8_t { raised, kept };

    /// Keeps the machine until the call ends.
    /// OSError EIO in a child of the process that created the machine
    explicit HostCall(std::shared_ptr<Machine> machine, Errors errors = Errors::raised);
    ~HostCall();
    HostCall(const HostCall&) = delete;
    HostCall& operator=(const HostCall&) = delete;

    /// The innermost call of this thread, or null.
    static HostCall* current() { return current_; }

    /// The calls of this thread that are in the core of `machine`.
    static std::uint32_t in_core_here(const Machine& machine);
    /// A block in which the core calls Python code, within `call`; null: within no call.
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

    /// Runs the call and raises its exceptions.
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

    /// A model has raised `error`, or a signal handler for which the call was interrupted.
    void add(pybind11::object error, bool from_signal = false);
    /// Must no model be called any more?
    bool abandoned() const { return abandoned_; }

    /// The call sleeps at most this long and then raises TimeoutError.
    /// ValueError not a duration
    void set_timeout(double seconds);
    /// ValueError not a duration
    static void check_timeout(double seconds);
    const auto& deadline() const { return deadline_; }
    void time_out() { timed_out_ = true; }

  private:
    void raise_first() {
        if (error_) [[unlikely]] {
            raise_error();
        }
    }
    [[noreturn]] void raise_error();
    // Returns if the refusal itself is to be raised.
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

/// Records the exception of a device model for the current call, or without one for its machine.
void add_model_error(Machine* machine, pybind11::error_already_set& error);

/// The sleep policy of this face: it notices signals, timeouts and the end of the interpreter.
fs::SleepPolicy& python_sleep();

}  // namespace kvmiommu
