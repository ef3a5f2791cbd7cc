// SPDX-License-Identifier: MIT
//
// A device model written in Python. Two objects: the Python one, whose methods a user overrides,
// and the hardware that the machine owns, which calls them. The GIL is taken for the call alone.

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

/// The C++ half of a Python model: how it reaches its hardware, once a machine has it.
class ModelFace {
  public:
    const mm::ForkGeneration& made() const { return made_; }
    /// The machine whose hardware it is: what has it keeps the hardware. ValueError before the
    /// machine is made and after it is gone, OSError EIO in a child of the process that made it.
    std::shared_ptr<Machine> machine() EXCLUDES(mutex_);
    /// For whoever has the machine.
    PythonModel& hardware() { return *hardware_.load(std::memory_order_relaxed); }

  private:
    friend class PythonModel;

    // The hardware is made: false if there is one already. A machine has it. It goes.
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
    /// As the attributes of `model`, a kvmiommu.pci.DeviceModel, say, each of which is read once.
    /// The GIL is held; raises ValueError for what cannot be, and for a model that is in a machine
    /// already.
    explicit PythonModel(const pybind11::object& model);
    ~PythonModel() override;

    /// From now on the model can use it.
    void belong_to(const std::shared_ptr<Machine>& machine);
    /// The Python object.
    PyObject* object() const { return model_.ptr(); }

    /// What a method raises is raised by the call that led here (HostCall); the core sees a read of
    /// all ones.
    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) override;
    void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) override;

    /// MSI while it is enabled, else the INTx line is asserted.
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
