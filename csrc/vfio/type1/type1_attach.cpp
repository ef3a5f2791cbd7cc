// SPDX-License-Identifier: MIT
//
// Attaching groups to a type1 container, detaching them, and the domains that they share.

#include <algorithm>
#include <utility>

#include "vfio/type1/type1.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kAttach{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_attach_group"};
}  // namespace

bool Type1::attached(const iommu::Group& group) const {
    return std::find(emulated_iommu_groups_.begin(), emulated_iommu_groups_.end(), &group) !=
               emulated_iommu_groups_.end() ||
           std::any_of(domain_list_.begin(), domain_list_.end(), [&](const auto& attached) {
               return std::find(attached->groups.begin(), attached->groups.end(), &group) !=
                      attached->groups.end();
           });
}

Result<> Type1::attach_group(fs::Task& task, iommu::Group& group, GroupType type) {
    const Lock lock(mutex_);
    if (vaddr_invalid_count_ != 0) {
        return refuse(EBUSY, "{} mappings have no valid user address", kAttach,
                      vaddr_invalid_count_);
    }
    if (attached(group)) {
        return refuse(EINVAL, "group {} is in the container already", kAttach, group.id());
    }
    if (type == GroupType::emulated) {
        emulated_iommu_groups_.push_back(&group);
        return {};
    }
    VfioDomain* const joined = TRY(domain_for(task, group));
    joined->groups.push_back(&group);
    // A domain that the group has joined may have fewer page sizes now, where a domain spans unlike
    // IOMMUs (iommu/semantics/semantics.h); otherwise only a new domain changes the common ones.
    update_pgsize_bitmap();
    update_iova_list();
    return {};
}

// Attaches the group to a domain of the container, or to a new one with all mappings in it.
Result<Type1::VfioDomain*> Type1::domain_for(fs::Task& task, iommu::Group& group) {
    iommu::Device& device = group.first_device();
    auto fresh = std::make_unique<VfioDomain>();
    fresh->domain = TRY(device.ops().paging_domain_alloc(device, task.faults()));
    if (nesting_) {
        TRY(device.ops().enable_nesting(*fresh->domain));
    }
    TRY(group.attach(*fresh->domain, task.faults()));
    Undo detach([&] { group.detach(*fresh->domain); });
    TRY(iova_list_with(*fresh->domain, group));
    TRY(check_page_sizes(*fresh->domain));
    if (!options_.allow_unsafe_interrupts && !group.has_isolated_msi()) {
        return refuse(EPERM, "group {} can raise other devices' interrupts", kAttach, group.id());
    }
    fresh->enforce_cache_coherency = fresh->domain->enforce_cache_coherency();
    for (const auto& other : domain_list_) {
        if (&other->domain->ops() != &fresh->domain->ops() ||
            other->enforce_cache_coherency != fresh->enforce_cache_coherency) {
            continue;
        }
        group.detach(*fresh->domain);
        if (group.attach(*other->domain, task.faults())) {
            detach.dismiss();
            return other.get();
        }
        if (const auto back = group.attach(*fresh->domain, task.faults()); !back) {
            detach.dismiss();
            return std::unexpected(back.error());
        }
    }
    TRY(replay(task, *fresh->domain));
    detach.dismiss();
    domain_list_.insert(domain_list_.begin(), std::move(fresh));
    return domain_list_.front().get();
}

// The iovas that can be mapped with the group in the container. EINVAL if a mapping is outside.
Result<IovaRanges> Type1::iova_list_with(const iommu::Domain& domain, const iommu::Group& group) {
    const Range aperture = domain.aperture();
    if (!iova_list_.empty()) {
        const Range first = iova_list_.ranges().front();
        const Range last = iova_list_.ranges().back();
        if (aperture.start > last.last || aperture.last < first.start) {
            return refuse(EINVAL,
                          "the aperture {:x} to {:x} has nothing in common with {:x} to {:x}",
                          kAttach, aperture.start, aperture.last, first.start, last.last);
        }
        for (auto dma = dma_list_.begin(); dma != dma_list_.end(); ++dma) {
            const Range iovas{dma->first, dma->first + dma->second.size - 1};
            if (!aperture.contains(iovas)) {
                return refuse(EINVAL, "the mapping at {:x} is outside of the aperture {:x} to {:x}",
                              kAttach, iovas.start, aperture.start, aperture.last);
            }
        }
    }
    const auto regions = group.reserved_regions();
    for (const iommu::ReservedRegion& region : regions) {
        if (region.type != iommu::ReservedType::direct_relaxable &&
            dma_list_.overlapping(region.range) != dma_list_.end()) {
            return refuse(EINVAL, "a mapping lies in the reserved region {:x} to {:x}", kAttach,
                          region.range.start, region.range.last);
        }
    }
    IovaRanges ranges = iova_list_;
    ranges.restrict_to(aperture);
    if (!ranges.exclude(regions)) {
        return refuse(EINVAL, "group {} leaves no iova that could be mapped", kAttach, group.id());
    }
    return ranges;
}

// The kernel does not check this: without a common page size it computes with a shift of -1.
Result<> Type1::check_page_sizes(const iommu::Domain& domain) const {
    if ((common_page_sizes() & domain.pgsize_bitmap()) == 0) {
        return refuse(EINVAL, "page sizes {:x} have none in common with {:x}", kAttach,
                      domain.pgsize_bitmap(), pgsize_bitmap_);
    }
    return {};
}

void Type1::update_iova_list() {
    IovaRanges ranges;
    for (const auto& attached : domain_list_) {
        ranges.restrict_to(attached->domain->aperture());
    }
    for (const auto& attached : domain_list_) {
        for (const iommu::Group* const group : attached->groups) {
            ranges.exclude(group->reserved_regions());
        }
    }
    iova_list_ = std::move(ranges);
}

std::uint64_t Type1::common_page_sizes() const {
    std::uint64_t common = ~std::uint64_t{0};
    for (const auto& attached : domain_list_) {
        common &= attached->domain->pgsize_bitmap();
    }
    return common;
}

void Type1::update_pgsize_bitmap() {
    std::uint64_t common = common_page_sizes();
    // No pages smaller than the machine's, which is the unit of pins.
    if ((common & (page_size() - 1)) != 0) {
        common = (common & ~(page_size() - 1)) | page_size();
    }
    pgsize_bitmap_ = common;
}

// Maps all mappings in a domain that is not in the list yet. Mappings that were only recorded are
// pinned; the pins are kept apart until all are mapped, so that a failure leaves every mapping as
// it was.
Result<> Type1::replay(fs::Task& task, iommu::Domain& domain) {
    std::vector<std::pair<VfioDma*, mm::Pins>> fresh;
    std::vector<Range> mapped;
    Undo unmap([&] {
        for (const Range iovas : mapped) {
            iommu::unmap_whole(domain, iovas.start, iovas.size());
        }
    });
    for (auto& [iova, dma] : dma_list_) {
        const mm::Pins* pins = &dma.pins;
        if (!dma.iommu_mapped) {
            mm::Pins& own = fresh.emplace_back(&dma, mm::Pins(dma.mm->locked_vm())).second;
            for (std::uint64_t done = 0; done < dma.size;) {
                done += TRY(pin_run(task, iova, dma, done, dma.size - done, own))
                .bytes();
            }
            pins = &own;
        }
        TRY(pins->each([&, start = iova, protection = dma.prot | iommu::kCache](
                           std::uint64_t offset, mm::PinnedRun run) -> Result<> {
            const std::uint64_t at = start + offset;
            TRY(iommu::map(domain, at, run.address(), run.bytes(), protection, task.faults()));
            mapped.push_back({at, at + (run.bytes() - 1)});
            return {};
        }));
    }
    unmap.dismiss();
    for (auto& [dma, pins] : fresh) {
        dma->pins = std::move(pins);
        dma->iommu_mapped = true;
    }
    return {};
}

void Type1::detach_group(iommu::Group& group) {
    DmaList::Removed removed;
    const Lock lock(mutex_);
    wait_for_copies();
    if (std::erase(emulated_iommu_groups_, &group) != 0) {
        if (emulated_iommu_groups_.empty() && domain_list_.empty()) {
            remove_all(removed);
        }
        return;
    }
    const auto found =
        std::find_if(domain_list_.begin(), domain_list_.end(), [&](const auto& attached) {
            return std::find(attached->groups.begin(), attached->groups.end(), &group) !=
                   attached->groups.end();
        });
    if (found == domain_list_.end()) {
        return;
    }
    VfioDomain& attached = **found;
    group.detach(*attached.domain);
    std::erase(attached.groups, &group);
    if (attached.groups.empty()) {
        // The last group with an IOMMU: drivers of emulated devices need no mapping pinned.
        if (domain_list_.size() == 1) {
            if (emulated_iommu_groups_.empty()) {
                remove_all(removed);
            } else {
                for (auto& [iova, dma] : dma_list_) {
                    leave_to_drivers(iova, dma);
                }
            }
        }
        domain_list_.erase(found);
    }
    update_pgsize_bitmap();
    update_iova_list();
    // Its devices may have written any page.
    if (dirty_page_tracking_) {
        mark_all_dirty();
    }
}

}  // namespace kvmiommu::vfio
