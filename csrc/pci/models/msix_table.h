// SPDX-License-Identifier: MIT
//
// A device's MSI-X table and its pending bits, as registers (PCI Local Bus Specification 3.0,
// section 6.8.2).

#pragma once

#include <cstdint>
#include <vector>

#include "base/base.h"
#include "pci/interrupts.h"
#include "pci/lock_order.h"
#include "pci/registers.h"

namespace kvmiommu::pci {

class MsixTable {
  public:
    explicit MsixTable(std::uint32_t vectors) : words_(vectors * kWords) { reset(); }

    std::uint32_t vectors() const { return static_cast<std::uint32_t>(words_.size() / kWords); }
    /// `offset` into the table; past its end reads return 0. Accesses have 4 or 8 bytes.
    std::uint64_t read(std::uint64_t offset, unsigned bytes) const EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        std::uint64_t value = 0;
        for (unsigned at = 0; at < bytes; at += 4) {
            const std::uint64_t word = offset / 4 + at / 4;
            value |= std::uint64_t{word < words_.size() ? words_[word] : 0} << (8 * at);
        }
        return value;
    }
    void write(std::uint64_t offset, unsigned bytes, std::uint64_t value) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        for (unsigned at = 0; bytes >= 4 && at < bytes; at += 4) {
            const std::uint64_t word = offset / 4 + at / 4;
            if (word < words_.size()) {
                words_[word] = static_cast<std::uint32_t>(value >> (8 * at));
            }
        }
    }
    /// The pending bits at `offset` into the pending bit array.
    std::uint64_t pending(const Interrupts& interrupts, std::uint64_t offset) const {
        std::uint64_t value = 0;
        for (std::uint32_t vector = 0; offset == 0 && vector < vectors(); ++vector) {
            value |= std::uint64_t{interrupts.pending(vector)} << vector;
        }
        return value;
    }
    /// Masks all entries.
    void reset() EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        for (std::size_t word = 0; word < words_.size(); ++word) {
            words_[word] = word % kWords == kWords - 1;
        }
    }

  private:
    static constexpr std::size_t kWords = kMsixEntryBytes / 4;

    mutable Mutex mutex_{lock_order::kMsixTable};
    std::vector<std::uint32_t> words_;
};

}  // namespace kvmiommu::pci
