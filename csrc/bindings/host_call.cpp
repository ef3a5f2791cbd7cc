// SPDX-License-Identifier: MIT

#include "bindings/host_call.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "bindings/gil.h"
#include "bindings/register.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

constexpr Source kTimeout{"kvmiommu: bindings/host_call.h"};

// The interval of checks for signals and timeouts.
constexpr std::chrono::milliseconds kSlice{25};

bool is_exception(const py::object& error) {
    return PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) != 0;
}

bool is_main_thread() {
    return syscall(SYS_gettid) == getpid();
}

// Sets `context` as the context of the last exception in the chain.
void add_context(const py::object& error, const py::object& context) {
    py::object last = error;
    for (int depth = 0; depth < 100; ++depth) {
        if (last.is(context)) {
            return;
        }
        auto next = py::reinterpret_steal<py::object>(PyException_GetContext(last.ptr()));
        if (!next) {
            PyException_SetContext(last.ptr(), py::object(context).release().ptr());
            return;
        }
        last = std::move(next);
    }
}

}  // namespace

HostCall::HostCall(std::shared_ptr<Machine> machine, Errors errors)
    : machine_(std::move(machine)), outer_(current_), errors_(errors) {
    value_or_raise(machine_->made().check());
    machine_->calls().fetch_add(1);
    current_ = this;
}

HostCall::~HostCall() {
    current_ = outer_;
    if (error_ && errors_ == Errors::kept) {
        machine_->keep(std::move(error_));
    }
    machine_->calls().fetch_sub(1);
}

std::uint32_t HostCall::in_core_here(const Machine& machine) {
    std::uint32_t found = 0;
    for (const HostCall* call = current_; call != nullptr; call = call->outer_) {
        found += call->in_core_ && call->machine_.get() == &machine;
    }
    return found;
}

void HostCall::add(py::object error, bool from_signal) {
    const bool urgent = !is_exception(error);
    if (!error_) {
        error_ = std::move(error);
        from_signal_ = from_signal;
    } else if (urgent && !abandoned_) {
        add_context(error, error_);
        error_ = std::move(error);
        from_signal_ = from_signal;
    } else {
        error_.attr("add_note")(py::str("Raised later in the same call: {!r}").format(error));
    }
    abandoned_ |= urgent;
}

void HostCall::raise_error() {
    const py::object error = std::exchange(error_, {});
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw py::error_already_set();
}

void HostCall::raise_instead_of(py::error_already_set& refused) {
    if (error_) {
        if (!from_signal_ && !error_.is(refused.value())) {
            add_context(error_, refused.value());
        }
        raise_error();
    }
    if (timed_out_) {
        raise(Refusal(ETIMEDOUT, ReasonText<0>("the time that the call was to sleep is over"),
                      kTimeout, {}));
    }
}

void HostCall::check_timeout(double seconds) {
    if (std::isnan(seconds) || seconds < 0) {
        throw py::value_error(
            py::str("timeout is {}: must be None or a number of seconds from 0 up")
                .format(seconds));
    }
}

void HostCall::set_timeout(double seconds) {
    check_timeout(seconds);
    constexpr double kLongest = 1e9;  // about thirty years
    const std::chrono::duration<double> time(std::min(seconds, kLongest));
    deadline_ = std::chrono::steady_clock::now() +
                std::chrono::duration_cast<std::chrono::steady_clock::duration>(time);
}

void add_model_error(Machine* machine, py::error_already_set& error) {
    py::object value = error.value();
    if (error.trace()) {
        PyException_SetTraceback(value.ptr(), error.trace().ptr());
    }
    if (HostCall* const call = HostCall::current()) {
        call->add(std::move(value));
    } else if (machine != nullptr) {
        machine->keep(std::move(value));
    } else {
        error.discard_as_unraisable("kvmiommu.pci.DeviceModel");
    }
}

namespace {

class PythonSleep final : public fs::SleepPolicy {
    fs::Wakeup sleep(fs::Sleeper& sleeper) override {
        HostCall* const call = HostCall::current();
        for (;;) {
            auto slice = std::chrono::steady_clock::duration(kSlice);
            bool last = false;
            if (call != nullptr && call->deadline()) {
                const auto left = *call->deadline() - std::chrono::steady_clock::now();
                last = left <= slice;
                slice = std::clamp(left, std::chrono::steady_clock::duration::zero(), slice);
            }
            if (sleeper.sleep_for(slice)) {
                return fs::Wakeup::woken;
            }
            if (interpreter_ends()) {
                if (!is_main_thread()) {
                    stop_here();
                }
                return fs::Wakeup::interrupted;  // in a finalizer: no thread is left that could
                                                 // wake it
            }
            if (last && *call->deadline() <= std::chrono::steady_clock::now()) {
                call->time_out();
                return fs::Wakeup::timed_out;
            }
            if (call != nullptr && !signals_let_sleep(*call)) {
                return fs::Wakeup::interrupted;
            }
        }
    }

    // Python runs signal handlers only in the main thread, so other threads need not take the GIL.
    static bool signals_let_sleep(HostCall& call) {
        if (!is_main_thread()) {
            return true;
        }
        const WithGil gil;
        const HostCall::InPython python(&call);
        return unless_interpreter_ends([&] {
            if (PyErr_CheckSignals() == 0) {
                return true;
            }
            const py::error_already_set raised;
            py::object value = raised.value();
            if (raised.trace()) {
                PyException_SetTraceback(value.ptr(), raised.trace().ptr());
            }
            call.add(std::move(value), true);
            return false;
        });
    }
};

}  // namespace

fs::SleepPolicy& python_sleep() {
    static PythonSleep policy;
    return policy;
}

}  // namespace kvmiommu
