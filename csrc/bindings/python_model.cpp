// SPDX-License-Identifier: MIT

#include "bindings/python_model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>

#include "bindings/gil.h"
#include "bindings/host_call.h"
#include "bindings/register.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

using namespace pci;  // The registers' names.

constexpr std::uint32_t kMsiAt = 0x40;
constexpr std::uint32_t kMsiBytes = 14;
constexpr std::uint32_t kAfAt = 0x50;
constexpr std::uint32_t kMostPins = 4;
constexpr std::uint32_t kMostVectors = 32;

// An attribute that must be a number from 0 to `most`.
template <class T = std::uint32_t>
T number(const py::handle& object, const char* name, std::uint64_t most) {
    const py::object value = object.attr(name);
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!index) {
        PyErr_Clear();
        throw py::type_error(
            py::str("{} of {!r} is {!r}: must be an integer").format(name, object, value));
    }
    const std::uint64_t found = PyLong_AsUnsignedLongLong(index.ptr());
    if (PyErr_Occurred() != nullptr) {
        PyErr_Clear();
    } else if (found <= most) {
        return static_cast<T>(found);
    }
    throw py::value_error(py::str("{} of {!r} is {}: must be a number from 0 to {:#x}")
                              .format(name, object, index, most));
}

bool flag(const py::handle& object, const char* name) {
    const py::object value = object.attr(name);
    if (!py::isinstance<py::bool_>(value)) {
        throw py::type_error(
            py::str("{} of {!r} is {!r}: must be True or False").format(name, object, value));
    }
    return value.cast<bool>();
}

Bar make_bar(const py::handle& described) {
    constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 31;
    Bar bar;
    bar.bytes = number<std::uint64_t>(described, "size", kMostBytes);
    bar.kind = flag(described, "io") ? Bar::Kind::io : Bar::Kind::memory;
    bar.prefetchable = flag(described, "prefetchable");
    bar.wide = flag(described, "wide");
    const bool io = bar.kind == Bar::Kind::io;
    if (!is_power_of_two(bar.bytes) || bar.bytes < (io ? 4 : 16)) {
        throw py::value_error(py::str("{!r}: its size must be a power of two").format(described));
    }
    for (const py::handle range : described.attr("memory")) {
        py::detail::make_caster<std::pair<std::uint64_t, std::uint64_t>> pair;
        if (!pair.load(range, true)) {
            throw py::type_error(py::str("memory of {!r} has {!r}: must be pairs (start, last)")
                                     .format(described, range));
        }
        const auto [start, last] =
            py::detail::cast_op<std::pair<std::uint64_t, std::uint64_t>>(pair);
        if (start > last || last >= bar.bytes || start % mm::kFrameSize != 0 ||
            (last + 1) % mm::kFrameSize != 0) {
            throw py::value_error(
                py::str("{!r}: {} to {} are no whole pages of it").format(described, start, last));
        }
        bar.memory.push_back({start, last});
    }
    if (io && (bar.wide || bar.prefetchable || !bar.memory.empty())) {
        throw py::value_error(
            py::str("{!r}: I/O ports are not wide or prefetchable and have no memory")
                .format(described));
    }
    return bar;
}

// The value of a read(), which must fit the width of the access.
std::uint64_t loaded(const py::object& value, unsigned bytes) {
    const auto index = py::reinterpret_steal<py::object>(
        unless_interpreter_ends([&] { return PyNumber_Index(value.ptr()); }));
    if (!index) {
        throw py::error_already_set();  // TypeError
    }
    const std::uint64_t bits = PyLong_AsUnsignedLongLong(index.ptr());
    if (PyErr_Occurred() != nullptr) {
        throw py::error_already_set();  // OverflowError
    }
    if (bytes < 8 && bits >> 8 * bytes != 0) {
        PyErr_SetObject(PyExc_OverflowError,
                        py::str("{:#x} does not fit a load of {} bytes").format(bits, bytes).ptr());
        throw py::error_already_set();
    }
    return bits;
}

}  // namespace

std::shared_ptr<Machine> ModelFace::machine() {
    value_or_raise(made_.check());
    const Lock lock(mutex_);
    auto machine = machine_.lock();
    if (!machine) {
        throw py::value_error("the model is no device of a machine, or no longer");
    }
    return machine;
}

bool ModelFace::take(PythonModel& hardware) {
    const Lock lock(mutex_);
    if (std::exchange(taken_, true)) {
        return false;
    }
    hardware_.store(&hardware, std::memory_order_relaxed);
    return true;
}

void ModelFace::belong_to(const std::shared_ptr<Machine>& machine) {
    const Lock lock(mutex_);
    machine_ = machine;
}

void ModelFace::put() {
    const Lock lock(mutex_);
    machine_.reset();
    taken_ = false;
}

PythonModel::PythonModel(const py::object& model)
    : DeviceModel(kConfigBytes), model_(model), face_(model.cast<ModelFace&>()) {
    value_or_raise(face_.made().check());
    ConfigSpace& space = config();
    space.set(kVendorId, 2, number(model, "vendor_id", 0xffff));
    space.set(kDeviceId, 2, number(model, "device_id", 0xffff));
    const std::uint32_t class_code = number(model, "class_code", 0xffffff);
    space.set(kRevision, 4, class_code << 8 | number(model, "revision", 0xff));
    space.set(kSubsystemVendorId, 2, number(model, "subsystem_vendor_id", 0xffff));
    space.set(kSubsystemId, 2, number(model, "subsystem_id", 0xffff));
    space.set(kInterruptPin, 1, number(model, "interrupt_pin", kMostPins));
    if (const auto vectors = number(model, "msi_vectors", kMostVectors); vectors != 0) {
        if (!is_power_of_two(vectors)) {
            throw py::value_error(
                py::str("{} MSI vectors: must be a power of two up to 32, or 0").format(vectors));
        }
        space.add_capability(kCapMsi, kMsiAt, kMsiBytes);
        const auto log2 = static_cast<std::uint32_t>(std::bit_width(vectors)) - 1;
        space.set(kMsiAt + kMsiFlags, 2, kMsi64Bit | log2 << 1);
        space.set_writable(kMsiAt + kMsiFlags, 2, kMsiEnable | kMsiEnabledMask);
        space.set_writable(kMsiAt + 4, 4, 0xfffffffc);  // address
        space.set_writable(kMsiAt + 8, 4, 0xffffffff);
        space.set_writable(kMsiAt + 12, 2, 0xffff);  // data
    }
    if (flag(model, "function_level_reset")) {
        space.add_capability(kCapAf, kAfAt, kAfBytes);
        space.set(kAfAt + kAfCapabilities, 1, kAfFlr | kAfTransactionsPending);
    }
    set_bars(model.attr("bars"));
    // Last, because nothing may raise after it.
    if (!face_.take(*this)) {
        throw py::value_error("the model is a device of a machine already");
    }
}

// A copy of the mapping, which Python code cannot change during the iteration.
void PythonModel::set_bars(const py::handle& bars) {
    std::uint32_t taken = 0;
    if (!py::hasattr(bars, "keys")) {
        throw py::type_error(
            py::str("bars of {!r} is {!r}: must be a mapping of numbers to kvmiommu.pci.Bar")
                .format(model_, bars));
    }
    for (const auto& [key, described] : py::dict(py::reinterpret_borrow<py::object>(bars))) {
        const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(key.ptr()));
        if (!index || !py::hasattr(described, "size")) {
            PyErr_Clear();
            throw py::type_error(
                py::str("bars of {!r} has {!r}: {!r}: must be numbers and kvmiommu.pci.Bar")
                    .format(model_, key, described));
        }
        Bar bar = make_bar(described);
        const long place = PyLong_AsLong(index.ptr());
        PyErr_Clear();
        const std::uint32_t places = bar.wide ? 3 : 1;
        if (place < 0 || place >= static_cast<long>(kBars) || places << place >> kBars != 0 ||
            (places << place & taken) != 0) {
            throw py::value_error(
                py::str("BAR {} of {!r} has no place: there are six, 0 to 5").format(key, model_));
        }
        taken |= places << place;
        add_bar(static_cast<unsigned>(place), std::move(bar));
    }
}

PythonModel::~PythonModel() {
    const WithGil gil;
    face_.put();
    model_ = py::object();
}

void PythonModel::belong_to(const std::shared_ptr<Machine>& machine) {
    machine_ = machine.get();
    face_.belong_to(machine);
}

template <class Then, class... Arguments>
void PythonModel::call_model(const char* method, Then&& then, Arguments... arguments) {
    must_hold_no_lock("a model in Python is called");
    const WithGil gil;
    HostCall* const current = HostCall::current();
    if (current != nullptr && current->abandoned()) {
        return;
    }
    const HostCall::InPython python(current);
    try {
        const py::str name(method);
        const std::array<py::object, sizeof...(arguments)> numbers{py::int_(arguments)...};
        PyObject* stack[1 + sizeof...(arguments)] = {model_.ptr()};
        std::transform(numbers.begin(), numbers.end(), stack + 1,
                       [](const py::object& number) { return number.ptr(); });
        // Only the call is guarded: if the interpreter ends in it, no other frame is unwound.
        const auto value = py::reinterpret_steal<py::object>(unless_interpreter_ends([&] {
            return PyObject_VectorcallMethod(name.ptr(), stack, 1 + sizeof...(arguments), nullptr);
        }));
        if (!value) {
            throw py::error_already_set();
        }
        then(value);
    } catch (py::error_already_set& error) {
        add_model_error(machine_, error);
    }
}

std::uint64_t PythonModel::read(unsigned bar, std::uint64_t offset, unsigned bytes) {
    std::uint64_t bits = ~std::uint64_t{0};
    call_model(
        "read", [&](const py::object& value) { bits = loaded(value, bytes); }, bar, offset, bytes);
    return bits;
}

void PythonModel::write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) {
    call_model("write", [](const py::object&) {}, bar, offset, bytes, value);
}

void PythonModel::reset_registers() {
    call_model("reset", [](const py::object&) {});
}

void PythonModel::raise_interrupt(std::uint32_t vector) {
    if (interrupts().msi_enabled()) {
        interrupts().msi(vector);
    } else {
        interrupts().set_intx(true);
    }
}

}  // namespace kvmiommu
