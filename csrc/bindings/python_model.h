// SPDX-License-Identifier: MIT
//
// A device model in Python. It has two objects: the Python object, whose methods a user overrides,
// and the hardware, which the machine owns and which calls them. The GIL is held only for these
// calls.

#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/base.h"
#include "bindings/lock_order.h"
#include "bindings/machine.h"
#include "mm/fork_generation.h"
#include "pci/device_model.h"

namespace kvmiommu {

class PythonModel;

/// The C++ part of the Python object: its access to its hardware, once it is in a machine.
class ModelFace {
  public:
    const mm::ForkGeneration& made() const { return made_; }
    /// The machine of its hardware. The reference keeps the hardware.
    /// ValueError the machine is not created yet, or destroyed
    /// OSError EIO in a child of the process that created the machine
    std::shared_ptr<Machine> machine() EXCLUDES(mutex_);
    /// For holders of a reference to the machine.
    PythonModel& hardware() { return *hardware_.load(std::memory_order_relaxed); }

  private:
    friend class PythonModel;

    // Called by the hardware: created (false: there is another one), put into a machine, destroyed.
    bool take(PythonModel& hardware) EXCLUDES(mutex_);
    void belong_to(const std::shared_ptr<Machine>& machine) EXCLUDES(mutex_);
    void put() EXCLUDES(mutex_);

    const mm::ForkGeneration made_;
    std::atomic<PythonModel*> hardware_{nullptr};
    Mutex mutex_{bindings::lock_order::kModelFace};
    bool taken_ GUARDED_BY(mutex_) = false;
    std::weak_ptr<Machine> machine_ GUARDED_BY(mutex_);
};

class PythonModel final : public pci::DeviceModel {
  public:
    /// Takes its properties from the attributes of `model`, a kvmiommu.pci.DeviceModel, each of
    /// which is read once. The GIL is held. ValueError an attribute is invalid ValueError the model
    /// is in a machine already
    explicit PythonModel(const pybind11::object& model);
    ~PythonModel() override;

    /// The model can use the hardware from now on.
    void belong_to(const std::shared_ptr<Machine>& machine);
    /// The Python object.
    PyObject* object() const { return model_.ptr(); }

    /// An exception of the Python method is raised by the current HostCall; for the core a read
    /// returns all ones then.
    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) override;
    void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) override;

    /// Sends an MSI if MSI is enabled, else asserts the INTx line.
    void raise_interrupt(std::uint32_t vector);

  private:
    void reset_registers() override;
    void set_bars(const pybind11::handle& bars);
    template <class Then, class... Arguments>
    void call_model(const char* method, Then&& then, Arguments... arguments);

    pybind11::object model_;
    ModelFace& face_;
    Machine* machine_ = nullptr;
};

}  // namespace kvmiommu
