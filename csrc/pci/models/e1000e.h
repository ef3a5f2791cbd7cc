// SPDX-License-Identifier: MIT
//
// The part of QEMU's e1000e (Intel 82574L) that a driver sees first: configuration space with its
// capabilities, the regions and the first registers. It transfers no packets.
// Values: the transcripts, and the 82574 family's datasheet, sections 9 and 10.2.

#pragma once

#include "pci/device_model.h"
#include "pci/models/msix_table.h"

namespace kvmiommu::pci {

class E1000e final : public DeviceModel {
  public:
    static constexpr std::uint32_t kVectors = 5;

    E1000e();

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) override;
    void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) override;

  private:
    void reset_registers() override;

    MsixTable table_{kVectors};
};

}  // namespace kvmiommu::pci
