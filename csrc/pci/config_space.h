// SPDX-License-Identifier: MIT
//
// Configuration space as the hardware has it: bytes, which of their bits can be written, and which
// are cleared by writing 1. What VFIO shows of it is another matter (vfio/pci/pci_config.h).
// Rules: PCI Local Bus Specification 3.0, chapter 6. As in QEMU, whose functions the transcripts'
// machines have, bytes behind the header that no capability lies in can be written freely.

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

    /// Sets a value whatever can be written; 1, 2 or 4 bytes.
    void set(std::uint32_t offset, unsigned width, std::uint32_t value) EXCLUDES(mutex_);
    /// Which bits writes change, and which they clear by writing 1.
    void set_writable(std::uint32_t offset, unsigned width, std::uint32_t mask) EXCLUDES(mutex_);
    void set_write_clears(std::uint32_t offset, unsigned width, std::uint32_t mask)
        EXCLUDES(mutex_);
    /// Puts a capability of `length` bytes before the others, all zero and none of it writable.
    void add_capability(std::uint8_t id, std::uint32_t offset, std::uint32_t length)
        EXCLUDES(mutex_);
    /// Puts an extended one behind the others; the first lies at 0x100.
    void add_extended_capability(std::uint16_t id, unsigned version, std::uint32_t offset,
                                 std::uint32_t length) EXCLUDES(mutex_);

    // --- afterwards ---

    /// What a configuration cycle reads and does. Accesses lie inside.
    std::uint32_t read(std::uint32_t offset, unsigned width) const EXCLUDES(mutex_);
    void write(std::uint32_t offset, unsigned width, std::uint32_t value) EXCLUDES(mutex_);
    /// The bits of `mask` become those of `value`; the hardware's own doing.
    void change(std::uint32_t offset, unsigned width, std::uint32_t mask, std::uint32_t value)
        EXCLUDES(mutex_);

    /// Where the capability lies; 0: there is none.
    std::uint32_t capability(std::uint8_t id) const EXCLUDES(mutex_);

    /// The first bytes, and how they are put back (pci_save_state, pci_restore_state).
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
