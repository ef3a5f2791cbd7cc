// SPDX-License-Identifier: MIT

#include "vfio/iommu_driver.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kPin{"drivers/vfio/container.c: vfio_device_container_pin_pages"};
constexpr Source kDmaRw{"drivers/vfio/container.c: vfio_device_container_dma_rw"};
}  // namespace

Result<> IommuBackend::pin_pages(fs::Task&, std::uint64_t, std::uint32_t, std::span<mm::PhysAddr>) {
    return refuse(EINVAL, "this IOMMU driver pins no pages", kPin);
}

Result<> IommuBackend::dma_rw(fs::Task&, std::uint64_t, std::span<std::byte>, bool) {
    return refuse(EINVAL, "this IOMMU driver maps nothing that could be read or written", kDmaRw);
}

}  // namespace kvmiommu::vfio
