// SPDX-License-Identifier: MIT

#include "pci/models.h"

#include "pci/models/e1000e.h"
#include "pci/models/edu.h"
#include "pci/models/nec_usb_xhci.h"
#include "pci/models/pci_testdev.h"

namespace kvmiommu::pci {

std::unique_ptr<DeviceModel> make_model(std::string_view name) {
    if (name == "edu") {
        return std::make_unique<Edu>();
    }
    if (name == "pci-testdev") {
        return std::make_unique<PciTestdev>();
    }
    if (name == "e1000e") {
        return std::make_unique<E1000e>();
    }
    if (name == "nec-usb-xhci") {
        return std::make_unique<NecUsbXhci>();
    }
    return nullptr;
}

}  // namespace kvmiommu::pci
