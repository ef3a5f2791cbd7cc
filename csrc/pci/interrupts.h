// SPDX-License-Identifier: MIT
//
// The interrupts of a function: its INTx line, and the messages that its configuration space
// enables. PCI Local Bus Specification 3.0, sections 2.2.6 and 6.8.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>

#include "base/base.h"
#include "pci/config_space.h"
#include "pci/lock_order.h"

namespace kvmiommu::pci {

/// The handler of a function's interrupts: the kernel driver that is bound to it. Called without a
/// lock of the function or of its model.
class InterruptSink {
  public:
    virtual ~InterruptSink() = default;
    /// The INTx line is asserted.
    virtual void intx() = 0;
    /// A message of this vector arrives. False: the vector has no handler.
    virtual bool message(std::uint32_t vector) = 0;
};

class Interrupts {
  public:
    explicit Interrupts(ConfigSpace& config) : config_(config) {}
    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;

    // --- for the model ---

    /// Asserts or deasserts the INTx line. The status register shows it; the sink is not called
    /// while INTx is disabled in the command register.
    void set_intx(bool asserted);
    bool msi_enabled() const;
    bool msix_enabled() const;
    /// Sends a message; dropped while messages of this kind are disabled.
    void msi(std::uint32_t vector);
    /// As msi(); a message without a handler stays pending (the pending bit array) until there is
    /// one.
    void msix(std::uint32_t vector) EXCLUDES(mutex_);
    bool pending(std::uint32_t vector) const EXCLUDES(mutex_);
    void reset() EXCLUDES(mutex_);

    // --- for the driver ---

    /// Called once, while the machine is put together; the sink outlives it.
    void connect(InterruptSink& sink) { sink_ = &sink; }
    bool intx_asserted() const;
    /// A vector's entry in the MSI-X table was unmasked: delivers a pending message.
    void unmask_msix(std::uint32_t vector) EXCLUDES(mutex_);

  private:
    ConfigSpace& config_;
    InterruptSink* sink_ = nullptr;
    mutable Mutex mutex_{lock_order::kInterrupts};
    // By vector: the number of the message that made it pending.
    std::map<std::uint32_t, std::uint64_t> pending_ GUARDED_BY(mutex_);
    std::uint64_t messages_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu::pci
