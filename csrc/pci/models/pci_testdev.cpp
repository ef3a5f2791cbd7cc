// SPDX-License-Identifier: MIT

#include "pci/models/pci_testdev.h"

namespace kvmiommu::pci {

PciTestdev::PciTestdev() : DeviceModel(kConfigBytes) {
    ConfigSpace& space = config();
    space.set(kVendorId, 2, 0x1b36);
    space.set(kDeviceId, 2, 0x0005);
    space.set(kRevision, 4, 0x00ff0000);  // no class
    space.set(kSubsystemVendorId, 2, 0x1af4);
    space.set(kSubsystemId, 2, 0x1100);
    add_bar(0, {.bytes = 4096, .memory = {}});
    add_bar(1, {.bytes = 256, .kind = Bar::Kind::io, .memory = {}});
}

}  // namespace kvmiommu::pci
