// SPDX-License-Identifier: MIT

#include "bindings/python_model.h"

#include <bit>
#include <utility>

namespace py = pybind11;

namespace kvmiommu {

namespace {

using namespace pci;  // The registers' names.

constexpr std::uint32_t kMsiAt = 0x40;
constexpr std::uint32_t kMsiBytes = 14;
constexpr std::uint32_t kAfAt = 0x50;

template <class T>
T attribute(const py::handle& object, const char* name) {
    return object.attr(name).cast<T>();
}

Bar make_bar(const py::handle& described) {
    Bar bar;
    bar.bytes = attribute<std::uint64_t>(described, "size");
    bar.kind = attribute<bool>(described, "io") ? Bar::Kind::io : Bar::Kind::memory;
    bar.prefetchable = attribute<bool>(described, "prefetchable");
    bar.wide = attribute<bool>(described, "wide");
    for (const py::handle range : described.attr("memory")) {
        const auto pair = range.cast<std::pair<std::uint64_t, std::uint64_t>>();
        bar.memory.push_back({pair.first, pair.second});
    }
    return bar;
}

// Runs a call of the model; nothing when it raised.
template <class Call>
auto call_model(const char* what, Call&& call) -> std::optional<decltype(call())> {
    try {
        return call();
    } catch (py::error_already_set& error) {
        error.discard_as_unraisable(what);
    } catch (const py::cast_error&) {
        PyErr_SetString(PyExc_TypeError, "a device model's read() answers an int");
        py::error_already_set().discard_as_unraisable(what);
    }
    return std::nullopt;
}

}  // namespace

PythonModel* ModelFace::enter() {
    const Lock lock(mutex_);
    if (hardware_ == nullptr) {
        throw py::value_error("the model is no device of a machine, or no longer");
    }
    ++users_;
    return hardware_;
}

void ModelFace::leave() {
    const Lock lock(mutex_);
    --users_;
    left_.notify_all();
}

bool ModelFace::take() {
    const Lock lock(mutex_);
    return !std::exchange(taken_, true);
}

void ModelFace::connect(PythonModel& hardware) {
    const Lock lock(mutex_);
    hardware_ = &hardware;
}

void ModelFace::leave_machine() {
    const Lock lock(mutex_);
    hardware_ = nullptr;
    while (users_ != 0) {
        left_.wait(mutex_);
    }
    taken_ = false;
}

PythonModel::PythonModel(const py::object& model)
    : DeviceModel(kConfigBytes), model_(model), face_(model.cast<ModelFace&>()) {
    ConfigSpace& space = config();
    space.set(kVendorId, 2, attribute<std::uint16_t>(model, "vendor_id"));
    space.set(kDeviceId, 2, attribute<std::uint16_t>(model, "device_id"));
    space.set(kRevision, 4,
              attribute<std::uint32_t>(model, "class_code") << 8 |
                  attribute<std::uint8_t>(model, "revision"));
    space.set(kSubsystemVendorId, 2, attribute<std::uint16_t>(model, "subsystem_vendor_id"));
    space.set(kSubsystemId, 2, attribute<std::uint16_t>(model, "subsystem_id"));
    space.set(kInterruptPin, 1, attribute<std::uint8_t>(model, "interrupt_pin"));
    if (const auto vectors = attribute<std::uint32_t>(model, "msi_vectors"); vectors != 0) {
        space.add_capability(kCapMsi, kMsiAt, kMsiBytes);
        const auto log2 = static_cast<std::uint32_t>(std::bit_width(vectors)) - 1;
        space.set(kMsiAt + kMsiFlags, 2, kMsi64Bit | log2 << 1);
        space.set_writable(kMsiAt + kMsiFlags, 2, kMsiEnable | kMsiEnabledMask);
        space.set_writable(kMsiAt + 4, 4, 0xfffffffc);  // address
        space.set_writable(kMsiAt + 8, 4, 0xffffffff);
        space.set_writable(kMsiAt + 12, 2, 0xffff);  // data
    }
    if (attribute<bool>(model, "function_level_reset")) {
        space.add_capability(kCapAf, kAfAt, kAfBytes);
        space.set(kAfAt + kAfCapabilities, 1, kAfFlr | kAfTransactionsPending);
    }
    for (const auto item : py::dict(model.attr("bars"))) {
        add_bar(item.first.cast<unsigned>(), make_bar(item.second));
    }
    // Last: what raises leaves no hardware behind.
    if (!face_.take()) {
        throw py::value_error("the model is a device of a machine already");
    }
}

PythonModel::~PythonModel() {
    const py::gil_scoped_acquire gil;
    {
        const py::gil_scoped_release released;
        face_.leave_machine();
    }
    model_ = py::object();
}

std::uint64_t PythonModel::read(unsigned bar, std::uint64_t offset, unsigned bytes) {
    const py::gil_scoped_acquire gil;
    const auto value = call_model("kvmiommu.pci.DeviceModel.read", [&] {
        const py::object answer = model_.attr("read")(bar, offset, bytes);
        // Bits beyond the access are cut off, also those of a negative number.
        const std::uint64_t bits = PyLong_AsUnsignedLongLongMask(answer.ptr());
        if (PyErr_Occurred() != nullptr) {
            throw py::error_already_set();
        }
        return bits;
    });
    return value.value_or(~std::uint64_t{0});
}

void PythonModel::write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) {
    const py::gil_scoped_acquire gil;
    call_model("kvmiommu.pci.DeviceModel.write",
               [&] { return model_.attr("write")(bar, offset, bytes, value); });
}

void PythonModel::reset_registers() {
    const py::gil_scoped_acquire gil;
    call_model("kvmiommu.pci.DeviceModel.reset", [&] { return model_.attr("reset")(); });
}

void PythonModel::raise_interrupt(std::uint32_t vector) {
    if (interrupts().msi_enabled()) {
        interrupts().msi(vector);
    } else {
        interrupts().set_intx(true);
    }
}

}  // namespace kvmiommu
