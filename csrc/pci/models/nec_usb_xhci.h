// SPDX-License-Identifier: MIT
//
// The part of QEMU's nec-usb-xhci (NEC uPD720200) that a driver sees first: configuration space,
// its region and the first registers. It has no ports. Values: as a real kernel read them;
// eXtensible Host Controller Interface 1.0, section 5.3.

#pragma once

#include "pci/device_model.h"
#include "pci/models/msix_table.h"

namespace kvmiommu::pci {

class NecUsbXhci final : public DeviceModel {
  public:
    static constexpr std::uint32_t kVectors = 16;

    NecUsbXhci();

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned bytes) override;
    void write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) override;

  private:
    void reset_registers() override { table_.reset(); }

    MsixTable table_{kVectors};
};

}  // namespace kvmiommu::pci
