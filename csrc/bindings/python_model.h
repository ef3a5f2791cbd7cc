// SPDX-License-Identifier: MIT
//
// A device model written in Python. Two objects: the Python one, whose methods a user overrides,
// and the hardware that the machine owns, which calls them. The GIL is taken for the call alone.

#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "base/base.h"
#include "pci/device_model.h"

namespace kvmiommu {

class PythonModel;

/// The C++ half of a Python model: how it reaches its hardware, once a machine has it. Threads of
/// Python's may be on their way there when another lets go of the machine.
class ModelFace {
  public:
    /// Runs `call` with the hardware, which stays until it returns. ValueError before the machine
    /// is made and after it is gone. The GIL is not held.
    template <class Call>
    auto use(Call&& call) {
        const User user(*this);
        return call(*user.hardware);
    }

  private:
    friend class PythonModel;

    // One that the hardware waits for. No lock is held meanwhile: interrupts come back to a model.
    struct User {
        explicit User(ModelFace& of) : face(of), hardware(of.enter()) {}
        ~User() { face.leave(); }
        User(const User&) = delete;
        User& operator=(const User&) = delete;

        ModelFace& face;
        PythonModel* const hardware;
    };
    PythonModel* enter() EXCLUDES(mutex_);
    void leave() EXCLUDES(mutex_);

    // The hardware is made: false if there is one already. It is connected. It goes: waits until
    // nobody uses it, nor will; the GIL is not held.
    bool take() EXCLUDES(mutex_);
    void connect(PythonModel& hardware) EXCLUDES(mutex_);
    void leave_machine() EXCLUDES(mutex_);

    Mutex mutex_;
    Condition left_;
    bool taken_ GUARDED_BY(mutex_) = false;
    PythonModel* hardware_ GUARDED_BY(mutex_) = nullptr;
    unsigned users_ GUARDED_BY(mutex_) = 0;
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
    void plugged() override { face_.connect(*this); }
    void reset_registers() override;

    pybind11::object model_;
    ModelFace& face_;
};

}  // namespace kvmiommu
