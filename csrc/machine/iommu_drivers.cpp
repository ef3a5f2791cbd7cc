// SPDX-License-Identifier: MIT

#include "machine/iommu_drivers.h"

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/drivers/riscv.h"
#include "iommu/drivers/smmu_v3.h"
#include "iommu/drivers/virtio.h"

namespace kvmiommu::machine {

std::unique_ptr<iommu::Ops> make_iommu_driver(const std::string& name, mm::PhysicalMemory& memory,
                                              std::uint64_t page_size) {
    if (name == "intel") {
        return std::make_unique<iommu::IntelOps>(memory);
    }
    if (name == "amd") {
        return std::make_unique<iommu::AmdOps>(memory);
    }
    if (name == "virtio") {
        return std::make_unique<iommu::VirtioOps>(page_size);
    }
    if (name == "smmu_v3") {
        return std::make_unique<iommu::SmmuV3Ops>(memory, page_size);
    }
    if (name == "riscv") {
        return std::make_unique<iommu::RiscVOps>(memory);
    }
    return nullptr;
}

}  // namespace kvmiommu::machine
