// SPDX-License-Identifier: MIT
//
// Configuration space of the hardware: bytes, which of their bits are writable, and which are
// cleared by writing 1. VFIO shows another one to the user (vfio/pci/pci_config.h).
// Rules: PCI Local Bus Specification 3.0, chapter 6. As in QEMU, which emulates the functions of
// the transcripts' machines, bytes behind the header and outside of capabilities are writable.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/base.h"
#include "pci/lock_order.h"
#include "pci/registers.h"

namespace kvmiommu::pci {

class ConfigSpace {
  public:
    /// `bytes` is 256 or 4096.
    explicit ConfigSpace(std::uint32_t bytes);
    ConfigSpace(const ConfigSpace&) = delete;
    ConfigSpace& operator=(const ConfigSpace&) = delete;

    std::uint32_t bytes() const { return bytes_; }

    // --- while a model puts it together ---

    /// Sets a value of 1, 2 or 4 bytes, whatever is writable.
    void set(std::uint32_t offset, unsigned width, std::uint32_t value) EXCLUDES(mutex_);
    /// Sets the bits that are writable, and those that are cleared by writing 1.
    void set_writable(std::uint32_t offset, unsigned width, std::uint32_t mask) EXCLUDES(mutex_);
    void set_write_clears(std::uint32_t offset, unsigned width, std::uint32_t mask)
        EXCLUDES(mutex_);
    /// Adds a capability of `length` bytes in front of the others, all zero and read only.
    void add_capability(std::uint8_t id, std::uint32_t offset, std::uint32_t length)
        EXCLUDES(mutex_);
    /// Adds an extended capability behind the others; the first one is at 0x100.
    void add_extended_capability(std::uint16_t id, unsigned version, std::uint32_t offset,
                                 std::uint32_t length) EXCLUDES(mutex_);

    // --- afterwards ---

    /// Configuration cycles, within the space.
    std::uint32_t read(std::uint32_t offset, unsigned width) const EXCLUDES(mutex_);
    void write(std::uint32_t offset, unsigned width, std::uint32_t value) EXCLUDES(mutex_);
    /// Sets the bits of `mask` to those of `value`, by the hardware itself.
    void change(std::uint32_t offset, unsigned width, std::uint32_t mask, std::uint32_t value)
        EXCLUDES(mutex_);

    /// The offset of a capability; 0: there is none.
    std::uint32_t capability(std::uint8_t id) const EXCLUDES(mutex_);
    /// Save and restore the first `count` bytes (pci_save_state, pci_restore_state).
    std::vector<std::byte> save(std::uint32_t count) const EXCLUDES(mutex_);
    void restore(std::span<const std::byte> saved) EXCLUDES(mutex_);

  private:
    std::uint32_t load(const std::vector<std::uint8_t>& from, std::uint32_t offset,
                       unsigned width) const REQUIRES(mutex_);
    void store(std::vector<std::uint8_t>& to, std::uint32_t offset, unsigned width,
               std::uint32_t value) REQUIRES(mutex_);

    const std::uint32_t bytes_;
    mutable Mutex mutex_{lock_order::kConfigSpace};
    std::vector<std::uint8_t> values_ GUARDED_BY(mutex_);
    std::vector<std::uint8_t> writable_ GUARDED_BY(mutex_);
    std::vector<std::uint8_t> write_clears_ GUARDED_BY(mutex_);
    std::uint32_t last_extended_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu::pci
