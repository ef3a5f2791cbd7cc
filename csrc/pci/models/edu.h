// SPDX-License-Identifier: MIT
//
// QEMU's educational device (docs/specs/edu.rst): a factorial, interrupts by command, and a DMA
// engine between memory and its own buffer. There is no clock here, so a command is complete when
// the store that started it returns.

#pragma once

#include <array>

#include "pci/device_model.h"
#include "pci/lock_order.h"

namespace kvmiommu::pci {

class Edu final : public DeviceModel {
  public:
    static constexpr std::uint64_t kBarBytes = std::uint64_t{1} << 20;
    /// The engine's address of its buffer, which the processor cannot access.
    static constexpr std::uint64_t kBufferStart = 0x40000;
    static constexpr std::uint64_t kBufferBytes = 4096;

    Edu();

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) override
        EXCLUDES(mutex_);
    void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) override
        EXCLUDES(mutex_);

  private:
    struct Transfer {
        std::uint64_t source = 0;
        std::uint64_t destination = 0;
        std::uint64_t count = 0;
        std::uint64_t command = 0;
    };

    void reset_registers() override EXCLUDES(mutex_);
    void compute(std::uint32_t number) EXCLUDES(mutex_);
    void transfer(std::uint64_t command) EXCLUDES(mutex_);
    void raise(std::uint32_t causes) EXCLUDES(mutex_);
    void acknowledge(std::uint32_t causes) EXCLUDES(mutex_);

    Mutex mutex_{lock_order::kModel};
    std::uint32_t liveness_ GUARDED_BY(mutex_) = 0;
    std::uint32_t factorial_ GUARDED_BY(mutex_) = 0;
    std::uint32_t status_ GUARDED_BY(mutex_) = 0;
    std::uint32_t interrupt_status_ GUARDED_BY(mutex_) = 0;
    Transfer dma_ GUARDED_BY(mutex_);
    std::array<std::byte, kBufferBytes> buffer_ GUARDED_BY(mutex_){};
};

}  // namespace kvmiommu::pci
