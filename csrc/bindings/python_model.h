// SPDX-License-Identifier: MIT
//
// A device model written in Python. Two objects: the Python one, whose methods a user overrides,
// and the hardware that the machine owns, which calls them. The GIL is taken for the call alone.

#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "pci/device_model.h"

namespace kvmiommu {

class PythonModel;

/// The C++ half of a Python model: how it reaches its hardware, once a machine has it.
class ModelFace {
  public:
    /// Null before the machine is made and after it is gone. The GIL is held.
    PythonModel* hardware() const { return hardware_; }

  private:
    friend class PythonModel;
    PythonModel* hardware_ = nullptr;
};

class PythonModel final : public pci::DeviceModel {
  public:
    /// As the attributes of `model`, a kvmiommu.pci.DeviceModel, say. The GIL is held; raises
    /// ValueError for a model that is in a machine already.
    explicit PythonModel(const pybind11::object& model);
    ~PythonModel() override;

    /// What a method raises goes to sys.unraisablehook; such a read answers all ones.
    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) override;
    void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) override;

    /// MSI while it is enabled, else the INTx line is asserted.
    void raise_interrupt(std::uint32_t vector);

  private:
    void reset_registers() override;

    pybind11::object model_;
    ModelFace& face_;
};

}  // namespace kvmiommu
