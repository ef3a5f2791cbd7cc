// SPDX-License-Identifier: MIT
//
// The interrupts of a function: its INTx line, and messages as far as its configuration space
// enables them. PCI Local Bus Specification 3.0, sections 2.2.6 and 6.8.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>

#include "base/base.h"
#include "pci/config_space.h"
#include "pci/lock_order.h"

namespace kvmiommu::pci {

/// Who handles a function's interrupts: the kernel driver that is bound to it. Called without a
/// lock of the function or of its model.
class InterruptSink {
  public:
    virtual ~InterruptSink() = default;
    /// The INTx line is asserted.
    virtual void intx() = 0;
    /// A message of this vector arrives. False: nobody handles the vector.
    virtual bool message(std::uint32_t vector) = 0;
};

class Interrupts {
  public:
    explicit Interrupts(ConfigSpace& config) : config_(config) {}
    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;

    // --- for the model ---

    /// Asserts the INTx line or lets it go. It shows in the status register; with INTx disabled in
    /// the command register nobody else sees it.
    void set_intx(bool asserted);
    bool msi_enabled() const;
    bool msix_enabled() const;
    /// Sends a message; dropped while messages of this kind are disabled.
    void msi(std::uint32_t vector);
    /// As msi(); one that nobody handles stays pending (the pending bit array) until somebody does.
    void msix(std::uint32_t vector) EXCLUDES(mutex_);
    bool pending(std::uint32_t vector) const EXCLUDES(mutex_);
    void reset() EXCLUDES(mutex_);

    // --- for the driver ---

    /// Once, while the machine is put together; the sink stays.
    void connect(InterruptSink& sink) { sink_ = &sink; }
    bool intx_asserted() const;
    /// A vector's entry in the MSI-X table is no longer masked: delivers what is pending.
    void unmask_msix(std::uint32_t vector) EXCLUDES(mutex_);

  private:
    ConfigSpace& config_;
    InterruptSink* sink_ = nullptr;
    mutable Mutex mutex_{lock_order::kInterrupts};
    // By vector: which message it was that made it pending.
    std::map<std::uint32_t, std::uint64_t> pending_ GUARDED_BY(mutex_);
    std::uint64_t messages_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu::pci
