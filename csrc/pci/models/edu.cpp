// SPDX-License-Identifier: MIT

#include "pci/models/edu.h"

#include <algorithm>
#include <optional>

namespace kvmiommu::pci {

namespace {

// Registers, from the start of BAR 0.
constexpr std::uint64_t kIdentification = 0x00;
constexpr std::uint64_t kLiveness = 0x04;
constexpr std::uint64_t kFactorial = 0x08;
constexpr std::uint64_t kStatusRegister = 0x20;
constexpr std::uint64_t kInterruptStatus = 0x24;
constexpr std::uint64_t kInterruptRaise = 0x60;
constexpr std::uint64_t kInterruptAcknowledge = 0x64;
// Registers from here on have 64 bits.
constexpr std::uint64_t kDmaSource = 0x80;
constexpr std::uint64_t kDmaDestination = 0x88;
constexpr std::uint64_t kDmaCount = 0x90;
constexpr std::uint64_t kDmaCommand = 0x98;

constexpr std::uint32_t kIdentificationValue = 0x010000ed;
constexpr std::uint32_t kStatusInterruptAfterwards = 0x80;
constexpr std::uint64_t kDmaStart = 0x1;
constexpr std::uint64_t kDmaToMemory = 0x2;
constexpr std::uint64_t kDmaInterrupt = 0x4;
constexpr std::uint32_t kFactorialCause = 0x1;
constexpr std::uint32_t kDmaCause = 0x100;

// The addresses that it can output: its default dma_mask.
constexpr std::uint64_t kDmaMask = low_mask(28);

constexpr std::uint32_t kMsiAt = 0x40;
constexpr std::uint32_t kMsiBytes = 14;

// Converts an address range of the engine to one of its buffer.
std::optional<std::size_t> in_buffer(std::uint64_t address, std::uint64_t count) {
    if (address < Edu::kBufferStart || address - Edu::kBufferStart > Edu::kBufferBytes ||
        count > Edu::kBufferBytes - (address - Edu::kBufferStart)) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(address - Edu::kBufferStart);
}

}  // namespace

Edu::Edu() : DeviceModel(kConfigBytes) {
    ConfigSpace& space = config();
    space.set(kVendorId, 2, 0x1234);
    space.set(kDeviceId, 2, 0x11e8);
    space.set(kRevision, 4, 0x00ff0010);  // no class; revision 0x10
    space.set(kSubsystemVendorId, 2, 0x1af4);
    space.set(kSubsystemId, 2, 0x1100);
    space.set(kInterruptPin, 1, 1);
    space.add_capability(kCapMsi, kMsiAt, kMsiBytes);
    space.set(kMsiAt + kMsiFlags, 2, kMsi64Bit);
    space.set_writable(kMsiAt + kMsiFlags, 2, kMsiEnable | kMsiEnabledMask);
    space.set_writable(kMsiAt + 4, 4, 0xfffffffc);  // address
    space.set_writable(kMsiAt + 8, 4, 0xffffffff);
    space.set_writable(kMsiAt + 12, 2, 0xffff);  // data
    add_bar(0, {.bytes = kBarBytes, .memory = {}});
}

std::uint64_t Edu::read(unsigned, std::uint64_t offset, unsigned bytes) {
    // Narrow accesses read as 0, wide ones of 32-bit registers as all ones.
    if (bytes < 4) {
        return 0;
    }
    if (offset < kDmaSource && bytes != 4) {
        return ~std::uint64_t{0};
    }
    const Lock lock(mutex_);
    switch (offset) {
        case kIdentification:
            return kIdentificationValue;
        case kLiveness:
            return liveness_;
        case kFactorial:
            return factorial_;
        case kStatusRegister:
            return status_;
        case kInterruptStatus:
            return interrupt_status_;
        case kDmaSource:
            return dma_.source;
        case kDmaDestination:
            return dma_.destination;
        case kDmaCount:
            return dma_.count;
        case kDmaCommand:
            return dma_.command;
        default:
            return ~std::uint64_t{0};
    }
}

void Edu::write(unsigned, std::uint64_t offset, unsigned bytes, std::uint64_t value) {
    if (bytes < 4 || (offset < kDmaSource && bytes != 4)) {
        return;
    }
    const auto word = static_cast<std::uint32_t>(value);
    switch (offset) {
        case kFactorial:
            return compute(word);
        case kInterruptRaise:
            return raise(word);
        case kInterruptAcknowledge:
            return acknowledge(word);
        case kDmaCommand:
            return transfer(value);
        default:
            break;
    }
    const Lock lock(mutex_);
    switch (offset) {
        case kLiveness:
            liveness_ = ~word;
            break;
        case kStatusRegister:
            status_ = word & kStatusInterruptAfterwards;
            break;
        case kDmaSource:
            dma_.source = value;
            break;
        case kDmaDestination:
            dma_.destination = value;
            break;
        case kDmaCount:
            dma_.count = value;
            break;
        default:
            break;
    }
}

void Edu::compute(std::uint32_t number) {
    std::uint32_t product = 1;
    // 34! and above are 0 modulo 2^32.
    for (; number > 1 && product != 0; --number) {
        product *= number;
    }
    bool interrupt = false;
    {
        const Lock lock(mutex_);
        factorial_ = product;
        interrupt = (status_ & kStatusInterruptAfterwards) != 0;
    }
    if (interrupt) {
        raise(kFactorialCause);
    }
}

// The buffer is copied, so that no lock is held during the DMA.
void Edu::transfer(std::uint64_t command) {
    if ((command & kDmaStart) == 0) {
        return;
    }
    const bool to_memory = (command & kDmaToMemory) != 0;
    Transfer asked;
    std::array<std::byte, kBufferBytes> copy;
    {
        const Lock lock(mutex_);
        dma_.command = command & ~kDmaStart;
        asked = dma_;
        copy = buffer_;
    }
    // QEMU exits for a range outside of the buffer; here nothing is transferred.
    const auto at = in_buffer(to_memory ? asked.source : asked.destination, asked.count);
    if (at) {
        const auto part = std::span(copy).subspan(*at, asked.count);
        if (to_memory) {
            // Data that cannot be written is lost; the fault is recorded.
            [[maybe_unused]] const auto moved = dma_write(asked.destination & kDmaMask, part);
        } else {
            // The buffer stays unchanged from the first byte that cannot be read.
            [[maybe_unused]] const auto moved = dma_read(asked.source & kDmaMask, part);
            const Lock lock(mutex_);
            std::copy(part.begin(), part.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(*at));
        }
    }
    if ((command & kDmaInterrupt) != 0) {
        raise(kDmaCause);
    }
}

void Edu::raise(std::uint32_t causes) {
    {
        const Lock lock(mutex_);
        interrupt_status_ |= causes;
        if (interrupt_status_ == 0) {
            return;
        }
    }
    if (interrupts().msi_enabled()) {
        interrupts().msi(0);
    } else {
        interrupts().set_intx(true);
    }
}

void Edu::acknowledge(std::uint32_t causes) {
    {
        const Lock lock(mutex_);
        interrupt_status_ &= ~causes;
        if (interrupt_status_ != 0) {
            return;
        }
    }
    if (!interrupts().msi_enabled()) {
        interrupts().set_intx(false);
    }
}

void Edu::reset_registers() {
    const Lock lock(mutex_);
    liveness_ = 0;
    factorial_ = 0;
    status_ = 0;
    interrupt_status_ = 0;
    dma_ = {};
    buffer_.fill(std::byte{0});
}

}  // namespace kvmiommu::pci
