// SPDX-License-Identifier: MIT
//
// The hardware of a PCI function. A model is called without a lock of the core, by several threads
// at once if several use the device, so it has its own lock. It raises interrupts and does DMA
// without holding that lock. (PCI Local Bus Specification 3.0; QEMU: include/hw/pci/pci_device.h)

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/base.h"
#include "iommu/dma_port.h"
#include "mm/device_memory.h"
#include "pci/bar.h"
#include "pci/config_space.h"
#include "pci/interrupts.h"

namespace kvmiommu::pci {

class DeviceModel {
  public:
    /// `config_bytes` is 256, or 4096 for PCI Express.
    explicit DeviceModel(std::uint32_t config_bytes) : config_(config_bytes) {}
    virtual ~DeviceModel() = default;
    DeviceModel(const DeviceModel&) = delete;
    DeviceModel& operator=(const DeviceModel&) = delete;

    ConfigSpace& config() { return config_; }
    Interrupts& interrupts() { return interrupts_; }
    const std::array<Bar, kBars>& bars() const { return bars_; }

    /// A load or a store of 1, 2, 4 or 8 bytes, aligned to its size, in a trapped page of a BAR.
    virtual std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) = 0;
    virtual void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) = 0;

    /// Resets everything except configuration space to its power-on state, the INTx line first.
    void reset();
    /// Connects it to its machine. Called once, before anything else.
    /// ENOMEM the machine has no contiguous RAM for the device's memory
    Result<> plug(iommu::DmaPort& dma, mm::PhysicalMemory& memory);
    /// The host's memory of [offset, offset + bytes) of a BAR; empty if it is not all within one
    /// range of plain memory.
    std::span<std::byte> memory(unsigned bar, std::uint64_t offset, std::uint64_t bytes);
    /// The frames of pages of plain memory, for mappings.
    /// EFAULT the page at `offset` is trapped
    Result<mm::HeldFrames> frames(unsigned bar, std::uint64_t offset, std::uint64_t bytes,
                                  std::uint64_t page_size);

    /// DMA by the device. Each fault is recorded (iommu::FaultLog).
    /// EFAULT bus mastering is off in the command register
    /// and what iommu::DmaPort says
    Result<> dma_read(std::uint64_t iova, std::span<std::byte> to);
    Result<> dma_write(std::uint64_t iova, std::span<const std::byte> from);

  protected:
    // Called when it is connected: from now on it can do DMA and raise interrupts.
    virtual void plugged() {}
    // The model's part of reset(): its registers.
    virtual void reset_registers() = 0;
    // For constructors of models: adds the region, its register and its size bits.
    void add_bar(unsigned index, Bar bar);

  private:
    Result<> check_bus_master(std::uint64_t iova, mm::Access access);
    // A range of plain memory, allocated by plug().
    struct Stretch {
        unsigned bar;
        Range range;
        mm::DeviceMemory memory;
    };
    Stretch* stretch(unsigned bar, std::uint64_t offset);

    ConfigSpace config_;
    Interrupts interrupts_{config_};
    std::array<Bar, kBars> bars_;
    std::vector<Stretch> stretches_;
    iommu::DmaPort* dma_ = nullptr;
};

}  // namespace kvmiommu::pci
