// SPDX-License-Identifier: MIT
//
// An IOMMU that is too simple to be wrong: a domain is a list of pages, each of which can be
// written to, and of the devices that are in it. A device can be told to be refused.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "iommu/fixed_domain.h"
#include "iommu/iommu.h"

namespace kvmiommu::test {

class ToyDomain;

/// The domain whose page table the hardware walks for each device: the one attached last.
using ToyContexts = std::map<const iommu::Device*, const ToyDomain*>;

class ToyDomain final : public iommu::Domain {
  public:
    ToyDomain(const iommu::Ops& ops, ToyContexts& contexts, std::uint64_t page_size,
              iommu::DomainType type = iommu::DomainType::unmanaged)
        : Domain(ops, type, page_size, {0, ~std::uint64_t{0}}),
          contexts_(contexts),
          page_size_(page_size) {
        allow_dirty_tracking();
    }

    Result<> attach_device(iommu::Device& device, FaultPoints&) override {
        if (refused == &device) {
            return refuse(error, "told to refuse", Source{"tests/unit/toy_iommu.h"});
        }
        devices.insert(&device);
        contexts_[&device] = this;
        return {};
    }
    void detach_device(iommu::Device& device) override { devices.erase(&device); }

    iommu::Mapped map_pages(std::uint64_t iova, mm::PhysAddr address, std::uint64_t page_size,
                            std::uint64_t count, std::uint32_t, FaultPoints&) override {
        for (std::uint64_t at = 0; at < count; ++at) {
            pages_[iova + at * page_size] = {address + at * page_size, false};
        }
        return {page_size * count, std::nullopt};
    }
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count,
                              FaultPoints&) override {
        std::uint64_t at = 0;
        while (at < count && pages_.erase(iova + at * page_size) != 0) {
            ++at;
        }
        return at * page_size;
    }
    mm::PhysAddr iova_to_phys(std::uint64_t iova) const override {
        const auto found = pages_.find(align_down(iova, page_size_));
        return found == pages_.end() ? 0 : found->second.first + iova % page_size_;
    }

    std::set<iommu::Device*> devices;
    const iommu::Device* refused = nullptr;
    int error = EINVAL;

  private:
    void mark_dirty(std::uint64_t iova) override {
        pages_.at(align_down(iova, page_size_)).second = true;
    }
    void each_dirty(Range range, bool make_clean, iommu::DirtyBitmap* bitmap) override {
        for (auto& [iova, page] : pages_) {
            if (page.second && range.overlaps({iova, iova + (page_size_ - 1)})) {
                page.second = !make_clean;
                if (bitmap != nullptr) {
                    bitmap->record(iova, page_size_);
                }
            }
        }
    }

    ToyContexts& contexts_;
    const std::uint64_t page_size_;
    std::map<std::uint64_t, std::pair<mm::PhysAddr, bool>> pages_;  // with "it is dirty"
};

class ToyOps final : public iommu::Ops {
  public:
    explicit ToyOps(std::uint64_t page_size) : page_size_(page_size) {}

    const char* name() const override { return "toy"; }
    Result<std::unique_ptr<iommu::Domain>> domain_alloc_paging(iommu::Device&,
                                                               FaultPoints&) override {
        return std::make_unique<ToyDomain>(*this, contexts, page_size_);
    }
    iommu::Domain& default_domain() override { return default_; }
    iommu::Domain& blocked_domain() override { return blocked_; }

    ToyDomain& blocked() { return blocked_; }

    ToyContexts contexts;

  private:
    const std::uint64_t page_size_;
    iommu::FixedDomain default_{*this, iommu::DomainType::identity};
    ToyDomain blocked_{*this, contexts, 0, iommu::DomainType::blocked};
};

}  // namespace kvmiommu::test
