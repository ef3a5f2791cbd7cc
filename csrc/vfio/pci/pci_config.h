// SPDX-License-Identifier: MIT
//
// Configuration space as vfio-pci shows it, partly virtual. Each bit has two properties: whether it
// is virtual (kept here, not in hardware), and whether the user may write it.
// Rules: drivers/vfio/pci/vfio_pci_config.c.

#pragma once

#include <cstdint>
#include <vector>

#include "base/base.h"
#include "fs/file.h"
#include "pci/function.h"
#include "vfio/lock_order.h"
#include "vfio/pci/pci_irqs.h"

namespace kvmiommu::vfio {

class PciConfig {
  public:
    PciConfig(const pci::Function& function, PciIrqs& irqs) : function_(function), irqs_(irqs) {}
    PciConfig(const PciConfig&) = delete;
    PciConfig& operator=(const PciConfig&) = delete;

    /// Called at the first open: sets the properties of every byte. (vfio_config_init)
    void open() EXCLUDES(mutex_);

    /// Returns the bytes moved, which are all. Bytes moved before an error stay moved.
    /// (vfio_pci_config_rw)
    /// EFAULT past the end of configuration space
    /// EFAULT the user's buffer cannot be accessed
    Result<std::int64_t> read(fs::Task& task, std::uint64_t position, fs::UserBuffer to)
        EXCLUDES(mutex_);
    Result<std::int64_t> write(fs::Task& task, std::uint64_t position, fs::UserBuffer from)
        EXCLUDES(mutex_);

    /// Is memory decoding enabled, and the function not in D3hot? (__vfio_pci_memory_enabled)
    bool memory_enabled() const EXCLUDES(mutex_);

  private:
    // Kinds of capabilities whose writes have side effects, and the rest.
    enum class Kind : std::uint8_t { plain, header, pm, msi, express, af };
    struct Stretch {
        std::uint32_t start;
        Kind kind;
    };
    pci::ConfigSpace& hardware() const { return function_.hardware->config(); }

    void open_header() REQUIRES(mutex_);
    void open_capabilities() REQUIRES(mutex_);
    void open_extended_capabilities() REQUIRES(mutex_);
    void allow(std::uint32_t offset, unsigned width, std::uint32_t is_virtual,
               std::uint32_t writable) REQUIRES(mutex_);
    void allow_msi(std::uint32_t at) REQUIRES(mutex_);
    void allow_errors(std::uint32_t at) REQUIRES(mutex_);
    void occupy(std::uint32_t start, std::uint32_t length, Kind kind) REQUIRES(mutex_);

    Result<unsigned> piece(std::uint64_t position, std::uint64_t bytes) const REQUIRES(mutex_);
    std::uint32_t read_piece(std::uint32_t at, unsigned width) REQUIRES(mutex_);
    // Returns whether the caller is to reset the function, which takes the lock dropped.
    bool write_piece(std::uint32_t at, unsigned width, std::uint32_t value) REQUIRES(mutex_);
    void after_header_write(std::uint32_t at, std::uint32_t value) REQUIRES(mutex_);
    bool take_bit(std::uint32_t at, unsigned width, std::uint32_t bit) REQUIRES(mutex_);
    void settle_msi_flags(std::uint32_t at) REQUIRES(mutex_);
    void write_default(std::uint32_t at, unsigned width, std::uint32_t value) REQUIRES(mutex_);
    void size_bars() REQUIRES(mutex_);
    void set_power_state(std::uint32_t capability, std::uint32_t state) REQUIRES(mutex_);

    std::uint32_t kept(std::uint32_t at, unsigned width) const REQUIRES(mutex_);
    void keep(std::uint32_t at, unsigned width, std::uint32_t value) REQUIRES(mutex_);

    const pci::Function& function_;
    PciIrqs& irqs_;
    mutable Mutex mutex_{lock_order::kPciConfig};          // memory_lock
    std::vector<std::uint8_t> values_ GUARDED_BY(mutex_);  // vconfig
    std::vector<std::uint8_t> virtual_ GUARDED_BY(mutex_);
    std::vector<std::uint8_t> writable_ GUARDED_BY(mutex_);
    std::vector<std::uint8_t> owner_ GUARDED_BY(mutex_);  // index into stretches_, or kNobody
    std::vector<Stretch> stretches_ GUARDED_BY(mutex_);
    bool bars_written_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::vfio
