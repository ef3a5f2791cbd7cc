// SPDX-License-Identifier: MIT

#include "pci/function.h"

#include <algorithm>
#include <cstdio>

namespace kvmiommu::pci {

std::optional<Location> Location::parse(const std::string& address) {
    unsigned segment = 0;
    unsigned bus = 0;
    unsigned device = 0;
    unsigned function = 0;
    int end = 0;
    if (std::sscanf(address.c_str(), "%4x:%2x:%2x.%1x%n", &segment, &bus, &device, &function,
                    &end) != 4 ||
        static_cast<std::size_t>(end) != address.size() || device > 31 || function > 7) {
        return std::nullopt;
    }
    return Location{static_cast<std::uint16_t>(segment), static_cast<std::uint8_t>(bus),
                    static_cast<std::uint8_t>(device << 3 | function)};
}

bool Function::can_reset() const {
    ConfigSpace& config = hardware->config();
    if (const std::uint32_t at = config.capability(kCapExpress);
        at != 0 && (config.read(at + kExpressDeviceCapabilities, 4) & kExpressFlr) != 0) {
        return true;
    }
    if (const std::uint32_t at = config.capability(kCapAf); at != 0) {
        const std::uint32_t can = config.read(at + kAfCapabilities, 1);
        if ((can & kAfFlr) != 0 && (can & kAfTransactionsPending) != 0) {
            return true;
        }
    }
    // A change to D3hot and back, for functions that lose their state there.
    if (const std::uint32_t at = config.capability(kCapPm);
        at != 0 && (config.read(at + kPmControl, 2) & kPmNoSoftReset) == 0) {
        return true;
    }
    return !on_root_bus() && bus.size() == 1;
}

void Function::reset() const {
    ConfigSpace& config = hardware->config();
    hardware->reset();
    if (const std::uint32_t at = config.capability(kCapPm); at != 0) {
        config.change(at + kPmControl, 2, kPmStateMask, 0);
    }
}

void set_up(Function& function, const SetUp& how, std::uint64_t& next_memory,
            std::uint64_t& next_io) {
    // A BAR of less than a page gets a page of its own, so that it can be mapped.
    constexpr std::uint64_t kApart = std::uint64_t{64} << 10;
    ConfigSpace& config = function.hardware->config();
    std::size_t given = 0;
    std::uint32_t decoded = how.firmware ? kCommandIo | kCommandMemory | kCommandSerr : 0;
    for (unsigned index = 0; index < kBars; ++index) {
        const Bar& bar = function.hardware->bars()[index];
        if (bar.bytes == 0) {
            continue;
        }
        decoded |= bar.kind == Bar::Kind::io ? kCommandIo : kCommandMemory;
        std::uint64_t address = 0;
        if (given < how.bars.size()) {
            address = how.bars[given++];
        } else if (bar.kind == Bar::Kind::io) {
            address = align_up(next_io, bar.bytes);
            next_io = address + bar.bytes;
        } else {
            address = align_up(next_memory, std::max(bar.bytes, kApart));
            next_memory = address + bar.bytes;
        }
        config.write(kBar0 + 4 * index, 4, static_cast<std::uint32_t>(address));
        if (bar.wide) {
            config.write(kBar0 + 4 * index + 4, 4, static_cast<std::uint32_t>(address >> 32));
        }
    }
    config.write(kCommand, 2, decoded);
    if (config.read(kInterruptPin, 1) != 0) {
        constexpr std::uint8_t kFirmwareLine = 0x0b;
        config.write(kInterruptLine, 1, how.line.value_or(how.firmware ? kFirmwareLine : 0));
    }
}

}  // namespace kvmiommu::pci
