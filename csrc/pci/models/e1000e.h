// SPDX-License-Identifier: MIT
//
// The visible face of an Intel 82574L as QEMU's e1000e shows it: configuration space with all its
// capabilities, the regions, and the first registers. It moves no packets.
// Values: the transcripts, and the 82574 family's datasheet, sections 9 and 10.2.

#pragma once

#include <map>

#include "pci/device_model.h"

namespace kvmiommu::pci {

class E1000e final : public DeviceModel {
  public:
    static constexpr std::uint32_t kVectors = 5;

    E1000e();

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) override
        EXCLUDES(mutex_);
    void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) override
        EXCLUDES(mutex_);

  private:
    void reset_registers() override EXCLUDES(mutex_);

    Mutex mutex_;
    // The MSI-X table, 32 bits a register; masked entries at first.
    std::map<std::uint64_t, std::uint32_t> table_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::pci
