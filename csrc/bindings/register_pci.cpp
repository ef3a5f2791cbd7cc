// SPDX-License-Identifier: MIT
//
// _core.DeviceModel: the methods of the machine that a device model in Python can call.

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "bindings/class.h"
#include "bindings/python_model.h"
#include "bindings/register.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

// Runs a call of the core on a model's hardware, without the GIL.
template <class Call>
void with_hardware(ModelFace& face, Call&& call) {
    without_gil([&] { return call(face.hardware()); });
}

py::bytes dma_read(ModelFace& face, std::uint64_t iova, std::size_t length) {
    std::string copy(length, '\0');
    with_hardware(face, [&](PythonModel& model) {
        return model.dma_read(iova, std::as_writable_bytes(std::span(copy)));
    });
    return py::bytes(copy);
}

void dma_write(ModelFace& face, std::uint64_t iova, const py::buffer& data) {
    // A copy, because another thread may resize the buffer while the GIL is released.
    const std::string copy = py::bytes(py::memoryview(data).attr("tobytes")());
    with_hardware(face, [&](PythonModel& model) {
        return model.dma_write(iova, std::as_bytes(std::span(copy)));
    });
}

void raise_interrupt(ModelFace& face, std::uint32_t vector) {
    with_hardware(face, [&](PythonModel& model) -> Result<> {
        model.raise_interrupt(vector);
        return {};
    });
}

void lower_interrupt(ModelFace& face) {
    with_hardware(face, [](PythonModel& model) -> Result<> {
        model.interrupts().set_intx(false);
        return {};
    });
}

constexpr char kRaiseInterrupt[] = R"(raise_interrupt(self, vector=0)
--

Sends MSI number `vector` while the driver has MSI enabled, else asserts the INTx line.)";

constexpr char kLowerInterrupt[] = R"(lower_interrupt(self)
--

Lets the INTx line go.)";

constexpr char kDmaRead[] = R"(dma_read(self, iova, length)
--

Reads memory as the device, through the address space that its group is in.

Raises OSError EFAULT, recorded for System.dma_faults(), where the device cannot reach memory.)";

constexpr char kDmaWrite[] = R"(dma_write(self, iova, data)
--

Writes memory as the device. As dma_read(); what lies before the first bad byte has been written.)";

}  // namespace

void register_pci(py::module_& core) {
    using py::arg;
    Class<ModelFace>(core, "DeviceModel", "A device model's way to its machine.")
        .def_init()
        .def("raise_interrupt", &raise_interrupt, arg("vector") = 0, kRaiseInterrupt)
        .def("lower_interrupt", &lower_interrupt, kLowerInterrupt)
        .def("dma_read", &dma_read, arg("iova"), arg("length"), kDmaRead)
        .def("dma_write", &dma_write, arg("iova"), arg("data"), kDmaWrite);
}

}  // namespace kvmiommu
