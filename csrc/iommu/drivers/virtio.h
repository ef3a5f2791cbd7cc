// SPDX-License-Identifier: MIT
//
// virtio-iommu: the driver sends each mapping to the device, and keeps a list of them
// (drivers/iommu/ virtio-iommu.c; Virtual I/O Device (VIRTIO) version 1.3, section 5.13 "IOMMU
// device").

#pragma once

#include <cstdint>
#include <memory>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"

namespace kvmiommu::iommu {

class VirtioOps final : public Ops {
  public:
    /// `page_size` is the machine's; an IOMMU whose smallest page is larger serves no device.
    explicit VirtioOps(std::uint64_t page_size) : page_size_(page_size) {}

    const char* name() const override { return "virtio"; }
    bool capable(const Device&, Capability capability) const override {
        return capability == Capability::cache_coherency ||
               capability == Capability::deferred_flush;
    }
    Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                        FaultPoints& faults) override;
    Domain& default_domain() override { return default_; }
    Domain& blocked_domain() override { return blocked_; }

  private:
    const std::uint64_t page_size_;
    FixedDomain default_{*this, DomainType::identity};
    FixedDomain blocked_{*this, DomainType::blocked};
};

}  // namespace kvmiommu::iommu
