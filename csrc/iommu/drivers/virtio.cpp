// SPDX-License-Identifier: MIT

#include "iommu/drivers/virtio.h"
#include "iommu/lock_order.h"

#include <iterator>
#include <map>

namespace kvmiommu::iommu {

namespace {

constexpr Source kAlloc{"drivers/iommu/virtio-iommu.c: viommu_domain_alloc"};
constexpr Source kAttach{"drivers/iommu/virtio-iommu.c: viommu_attach_dev"};
constexpr Source kFinalise{"drivers/iommu/virtio-iommu.c: viommu_domain_finalise"};
constexpr Source kAddMapping{"drivers/iommu/virtio-iommu.c: viommu_add_mapping"};
constexpr Source kMapRequest{"VIRTIO 1.3, section 5.13.6.5.2: MAP request, device requirements"};

// Every map_pages() is one MAP request and one mapping, whatever the number of its pages, and a
// mapping is unmapped whole.
class VirtioDomain final : public Domain {
  public:
    VirtioDomain(const Ops& ops, const IommuDevice& instance, std::uint64_t page_size)
        : Domain(ops, DomainType::unmanaged, instance.page_sizes,
                 {0, low_mask(instance.address_width)}),
          instance_(instance),
          page_size_(page_size) {}

    // A domain is a number that one virtio-iommu knows.
    Result<> attach_device(Device& device, FaultPoints&) override {
        if (&device.iommu_device() != &instance_) {
            return refuse(EINVAL, "the domain belongs to another virtio-iommu", kAttach);
        }
        if (lowest_bit(pgsize_bitmap()) > page_size_) {
            return refuse(ENODEV, "the smallest page, {:x}, is larger than the machine's, {:x}",
                          kFinalise, lowest_bit(pgsize_bitmap()), page_size_);
        }
        return {};
    }

    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, FaultPoints& faults) override {
        Mapped mapped;
        const std::uint64_t bytes = page_size * count;
        if (const auto added = add({address, protection, {iova, iova + (bytes - 1)}}, faults);
            !added) {
            mapped.refusal = added.error();
        } else {
            mapped.bytes = bytes;
        }
        return mapped;
    }

    // The device refuses to split a mapping (VIRTIO 1.3, section 5.13.6.6: VIRTIO_IOMMU_S_RANGE),
    // and the driver does not ask it to: a mapping that the range begins in the middle of stays,
    // one that it ends in the middle of goes whole. Where less is mapped than was asked for, the
    // driver removes it from its list and returns 0 (drivers/iommu/virtio-iommu.c:
    // viommu_unmap_pages).
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count,
                              FaultPoints&) override {
        const std::uint64_t bytes = page_size * count;
        const std::uint64_t last = iova + (bytes - 1);
        const Lock lock(mutex_);
        if (const auto in = containing(iova); in != mappings_.end() && in->first != iova) {
            return 0;
        }
        std::uint64_t gone = 0;
        auto at = mappings_.lower_bound(iova);
        while (at != mappings_.end() && at->first <= last) {
            gone += at->second.leaf.last - at->first + 1;
            at = mappings_.erase(at);
        }
        return gone < bytes ? 0 : gone;
    }
    bool counts_unmapped() const override { return false; }

    PhysAddr iova_to_phys(std::uint64_t iova) const override {
        const auto found = translate(iova);
        return found ? found->address : 0;
    }
    std::optional<Translation> translate(std::uint64_t iova) const override {
        const Lock lock(mutex_);
        const auto found = containing(iova);
        if (found == mappings_.end()) {
            return std::nullopt;
        }
        const Translation& first = found->second;
        return Translation{first.address + (iova - found->first), first.protection, first.leaf};
    }

  private:
    using Mappings = std::map<std::uint64_t, Translation>;  // by, and of, the first iova

    Mappings::const_iterator containing(std::uint64_t iova) const REQUIRES(mutex_) {
        const auto behind = mappings_.upper_bound(iova);
        if (behind == mappings_.begin() || std::prev(behind)->second.leaf.last < iova) {
            return mappings_.end();
        }
        return std::prev(behind);
    }

    Result<> add(const Translation& first, FaultPoints& faults) EXCLUDES(mutex_) {
        if (faults.fails()) {
            return refuse(ENOMEM, "a mapping could not be allocated: told to fail", kAddMapping);
        }
        const auto [iova, last] = first.leaf;
        const Lock lock(mutex_);
        const auto behind = mappings_.lower_bound(iova);
        if (containing(iova) != mappings_.end() ||
            (behind != mappings_.end() && behind->first <= last)) {
            return refuse(EINVAL, "{:x} to {:x} are in part mapped already", kMapRequest, iova,
                          last);
        }
        mappings_.emplace_hint(behind, iova, first);
        return {};
    }

    const IommuDevice& instance_;
    const std::uint64_t page_size_;
    mutable Mutex mutex_{lock_order::kDriverDomain};  // mappings_lock
    Mappings mappings_ GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<Domain>> VirtioOps::domain_alloc_paging(Device& device,
                                                               FaultPoints& faults) {
    if (faults.fails()) {
        return refuse(ENOMEM, "a domain could not be allocated: told to fail", kAlloc);
    }
    return std::make_unique<VirtioDomain>(*this, device.iommu_device(), page_size_);
}

}  // namespace kvmiommu::iommu
