// SPDX-License-Identifier: MIT

#include "bindings/machine.h"

#include <chrono>
#include <thread>
#include <utility>

#include "bindings/gil.h"
#include "bindings/host_call.h"
#include "bindings/python_model.h"
#include "bindings/register.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

constexpr std::chrono::seconds kLongestWait{1};

// A Python callable that gets the exceptions of machines that are destroyed, or null.
PyObject* unclaimed_hook = nullptr;

// Raised in the main thread as soon as it runs Python (Py_AddPendingCall).
int raise_pending(void* error) {
    auto* const value = static_cast<PyObject*>(error);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value)), value);
    Py_DECREF(value);
    return -1;
}

void report_unclaimed(const py::object& error) {
    if (unclaimed_hook != nullptr && !interpreter_ends()) {
        const auto hook = py::reinterpret_borrow<py::object>(unclaimed_hook);
        if (PyObject* const done = PyObject_CallOneArg(hook.ptr(), error.ptr())) {
            Py_DECREF(done);
            return;
        }
        PyErr_WriteUnraisable(hook.ptr());
        return;
    }
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    py::error_already_set().discard_as_unraisable("a device model of a kvmiommu.System");
}

}  // namespace

void set_unclaimed_hook(py::object hook) {
    PyObject* const before = unclaimed_hook;
    unclaimed_hook = hook.is_none() ? nullptr : hook.release().ptr();
    Py_XDECREF(before);
}

Machine::Machine(std::unique_ptr<machine::System> system) : system_(std::move(system)) {}

std::shared_ptr<Machine> Machine::create(const machine::Description& description) {
    auto system = value_or_raise(machine::System::create(description));
    system->kernel().set_sleep_policy(python_sleep());
    auto machine = mm::owned_by_host(std::unique_ptr<Machine>(new Machine(std::move(system))));
    machine->system_->each_model([&](pci::DeviceModel* model) {
        if (auto* const python = dynamic_cast<PythonModel*>(model)) {
            machine->models_.push_back(python);
            python->belong_to(machine);
        }
    });
    return machine;
}

Machine::~Machine() {
    {
        const WithoutGil released;
        system_.reset();
    }
    for (const py::object& error : errors_) {
        report_unclaimed(error);
    }
}

std::vector<std::string> Machine::close() {
    std::vector<std::string> alive;
    const std::uint32_t own = HostCall::in_core_here(*this);
    {
        const WithoutGil released;
        alive = system_->close();
        // References of calls that are still returning are not leaks: check again after them.
        if (!alive.empty() && wait_for_calls(own)) {
            alive = system_->close();
        }
    }
    for (py::object& error : take_errors()) {
        HostCall::current()->add(std::move(error));
    }
    return alive;
}

bool Machine::wait_for_calls(std::uint32_t own) {
    bool others = false;
    // With a limit, because a call may wait for Python code that waits for this thread.
    const auto end = std::chrono::steady_clock::now() + kLongestWait;
    while (calls_.load() > own && !interpreter_ends() && std::chrono::steady_clock::now() < end) {
        others = true;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return others;
}

void Machine::keep(py::object error) {
    if (PyErr_GivenExceptionMatches(error.ptr(), PyExc_Exception) == 0 &&
        Py_AddPendingCall(&raise_pending, error.ptr()) == 0) {
        error.release();
        return;
    }
    const Lock lock(errors_mutex_);
    errors_.push_back(std::move(error));
}

std::vector<py::object> Machine::take_errors() {
    const Lock lock(errors_mutex_);
    return std::exchange(errors_, {});
}

int Machine::traverse(visitproc visit, void* argument) const {
    for (const PythonModel* const model : models_) {
        if (const int found = visit(model->object(), argument)) {
            return found;
        }
    }
    for (const py::object& error : errors_) {
        if (const int found = visit(error.ptr(), argument)) {
            return found;
        }
    }
    return 0;
}

}  // namespace kvmiommu
