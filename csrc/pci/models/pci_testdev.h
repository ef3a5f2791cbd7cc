// SPDX-License-Identifier: MIT
//
// QEMU's pci-testdev (docs/specs/pci-testdev.rst) without a test selected: a page of memory and 256
// I/O ports that read as zero and ignore writes. Its tests measure QEMU and are not modelled.

#pragma once

#include "pci/device_model.h"

namespace kvmiommu::pci {

class PciTestdev final : public DeviceModel {
  public:
    PciTestdev();

    std::uint64_t read(unsigned, std::uint64_t, unsigned) override { return 0; }
    void write(unsigned, std::uint64_t, unsigned, std::uint64_t) override {}

  private:
    void reset_registers() override {}
};

}  // namespace kvmiommu::pci
