// SPDX-License-Identifier: MIT
//
// A PCI function of the machine and the kernel driver that is bound to it.

#pragma once

#include <cstdint>
#include <string>

#include "iommu/device.h"
#include "iommu/group.h"

namespace kvmiommu::pci {

struct Function {
    std::string address;              // "0000:00:02.0"
    std::string model;                // "edu"
    std::string driver;               // "vfio-pci"; empty: none
    iommu::Device* device = nullptr;  // behind an IOMMU, or null
    iommu::Group* group = nullptr;
};

}  // namespace kvmiommu::pci
