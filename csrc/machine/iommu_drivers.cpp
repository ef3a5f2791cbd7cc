// SPDX-License-Identifier: MIT

#include "machine/iommu_drivers.h"

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/drivers/riscv.h"
#include "iommu/drivers/smmu_v3.h"
#include "iommu/drivers/virtio.h"
#include "spapr/tce_ops.h"

namespace kvmiommu::machine {

std::unique_ptr<iommu::Ops> make_iommu_driver(const std::string& name, Census& census,
                                              mm::PhysicalMemory& memory, std::uint64_t page_size) {
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
    if (name == "powernv" || name == "pseries") {
        return std::make_unique<spapr::TceOps>(
            name == "powernv" ? spapr::Platform::powernv : spapr::Platform::pseries, census, memory,
            page_size);
    }
    return nullptr;
}

}  // namespace kvmiommu::machine
