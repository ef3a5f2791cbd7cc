// SPDX-License-Identifier: MIT

#include "pci/config_space.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace kvmiommu::pci {

ConfigSpace::ConfigSpace(std::uint32_t bytes)
    : bytes_(bytes), values_(bytes), writable_(bytes), write_clears_(bytes) {
    assert(bytes == kConfigBytes || bytes == kExpressConfigBytes);
    std::fill(writable_.begin() + kHeaderBytes, writable_.end(), std::uint8_t{0xff});
    const Lock lock(mutex_);
    store(writable_, kCommand, 2,
          kCommandIo | kCommandMemory | kCommandMaster | kCommandSerr | kCommandIntxDisable);
    store(writable_, kCacheLineSize, 1, 0xff);
    store(writable_, kInterruptLine, 1, 0xff);
}

std::uint32_t ConfigSpace::load(const std::vector<std::uint8_t>& from, std::uint32_t offset,
                                unsigned width) const {
    assert(offset + width <= bytes_ && width <= 4);
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
        value |= std::uint32_t{from[offset + i]} << (8 * i);
    }
    return value;
}

void ConfigSpace::store(std::vector<std::uint8_t>& to, std::uint32_t offset, unsigned width,
                        std::uint32_t value) {
    assert(offset + width <= bytes_ && width <= 4);
    for (unsigned i = 0; i < width; ++i) {
        to[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
}

void ConfigSpace::set(std::uint32_t offset, unsigned width, std::uint32_t value) {
    const Lock lock(mutex_);
    store(values_, offset, width, value);
}

void ConfigSpace::set_writable(std::uint32_t offset, unsigned width, std::uint32_t mask) {
    const Lock lock(mutex_);
    store(writable_, offset, width, mask);
}

void ConfigSpace::set_write_clears(std::uint32_t offset, unsigned width, std::uint32_t mask) {
    const Lock lock(mutex_);
    store(write_clears_, offset, width, mask);
}

void ConfigSpace::add_capability(std::uint8_t id, std::uint32_t offset, std::uint32_t length) {
    const Lock lock(mutex_);
    assert(offset >= kHeaderBytes && offset + length <= kConfigBytes);
    std::fill_n(values_.begin() + offset, length, std::uint8_t{0});
    std::fill_n(writable_.begin() + offset, length, std::uint8_t{0});
    values_[offset] = id;
    values_[offset + kCapNext] = values_[kCapabilities];
    values_[kCapabilities] = static_cast<std::uint8_t>(offset);
    values_[kStatus] |= kStatusCapabilities;
}

void ConfigSpace::add_extended_capability(std::uint16_t id, unsigned version, std::uint32_t offset,
                                          std::uint32_t length) {
    const Lock lock(mutex_);
    assert(offset >= kConfigBytes && offset + length <= bytes_);
    assert(last_extended_ != 0 || offset == kConfigBytes);
    std::fill_n(values_.begin() + offset, length, std::uint8_t{0});
    std::fill_n(writable_.begin() + offset, length, std::uint8_t{0});
    store(values_, offset, 4, id | version << 16);
    if (last_extended_ != 0) {
        store(values_, last_extended_, 4, load(values_, last_extended_, 4) | offset << 20);
    }
    last_extended_ = offset;
}

std::uint32_t ConfigSpace::read(std::uint32_t offset, unsigned width) const {
    const Lock lock(mutex_);
    return load(values_, offset, width);
}

void ConfigSpace::write(std::uint32_t offset, unsigned width, std::uint32_t value) {
    const Lock lock(mutex_);
    const std::uint32_t writable = load(writable_, offset, width);
    const std::uint32_t clears = load(write_clears_, offset, width);
    const std::uint32_t old = load(values_, offset, width);
    store(values_, offset, width, ((old & ~writable) | (value & writable)) & ~(value & clears));
}

void ConfigSpace::change(std::uint32_t offset, unsigned width, std::uint32_t mask,
                         std::uint32_t value) {
    const Lock lock(mutex_);
    store(values_, offset, width, (load(values_, offset, width) & ~mask) | (value & mask));
}

std::uint32_t ConfigSpace::capability(std::uint8_t id) const {
    const Lock lock(mutex_);
    std::uint32_t at = values_[kCapabilities];
    // Bounded, because a write may have made the list circular.
    for (unsigned hops = 0; at >= kHeaderBytes && hops < kConfigBytes / 4; ++hops) {
        if (values_[at] == id) {
            return at;
        }
        at = at + kCapNext < bytes_ ? values_[at + kCapNext] : 0;
    }
    return 0;
}

std::vector<std::byte> ConfigSpace::save(std::uint32_t count) const {
    const Lock lock(mutex_);
    std::vector<std::byte> saved(std::min(count, bytes_));
    std::memcpy(saved.data(), values_.data(), saved.size());
    return saved;
}

void ConfigSpace::restore(std::span<const std::byte> saved) {
    const Lock lock(mutex_);
    for (std::size_t i = 0; i < saved.size(); ++i) {
        const auto value = std::to_integer<std::uint8_t>(saved[i]);
        values_[i] =
            static_cast<std::uint8_t>((values_[i] & ~writable_[i]) | (value & writable_[i]));
    }
}

}  // namespace kvmiommu::pci
