// SPDX-License-Identifier: MIT
//
// Groups that join and leave a type1 container, and the domains they share.

#include <algorithm>
#include <cassert>

#include "vfio/type1.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kAttach{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_attach_group"};
constexpr Source kNesting{"drivers/iommu/iommu.c: iommu_enable_nesting"};
}  // namespace

bool Type1::attached(const iommu::Group& group) const {
    return std::find(emulated_groups_.begin(), emulated_groups_.end(), &group) !=
               emulated_groups_.end() ||
           std::any_of(domains_.begin(), domains_.end(), [&](const auto& attached) {
               return std::find(attached->groups.begin(), attached->groups.end(), &group) !=
                      attached->groups.end();
           });
}

Result<> Type1::attach_group(fs::Task& task, iommu::Group& group, GroupType type) {
    const Lock lock(mutex_);
    if (invalid_vaddrs_ != 0) {
        return refuse(EBUSY, "{} mappings have no valid user address", kAttach, invalid_vaddrs_);
    }
    if (attached(group)) {
        return refuse(EINVAL, "group {} is in the container already", kAttach, group.id());
    }
    if (type == GroupType::emulated) {
        emulated_groups_.push_back(&group);
        return {};
    }
    AttachedDomain* const joined = TRY(domain_for(task, group));
    joined->groups.push_back(&group);
    recompute_ranges();
    return {};
}

// A domain that the group is attached to: one that is there already, or a new one with all
// mappings in it.
Result<Type1::AttachedDomain*> Type1::domain_for(fs::Task& task, iommu::Group& group) {
    iommu::Device& device = group.first_device();
    auto fresh = std::make_unique<AttachedDomain>();
    fresh->domain = TRY(device.ops().paging_domain_alloc(device, task.faults()));
    if (nesting_) {
        return refuse(EINVAL, "no IOMMU of this machine nests domains", kNesting);
    }
    TRY(group.attach(*fresh->domain));
    if (const auto ranges = ranges_with(*fresh->domain, group); !ranges) {
        group.detach(*fresh->domain);
        return std::unexpected(ranges.error());
    }
    if (const auto sizes = check_page_sizes(*fresh->domain); !sizes) {
        group.detach(*fresh->domain);
        return std::unexpected(sizes.error());
    }
    if (!options_.allow_unsafe_interrupts && !group.has_isolated_msi()) {
        group.detach(*fresh->domain);
        return refuse(EPERM, "group {} can raise other devices' interrupts", kAttach, group.id());
    }
    fresh->coherent = fresh->domain->enforce_cache_coherency();
    for (const auto& other : domains_) {
        if (&other->domain->ops() != &fresh->domain->ops() || other->coherent != fresh->coherent) {
            continue;
        }
        group.detach(*fresh->domain);
        if (group.attach(*other->domain)) {
            return other.get();
        }
        TRY(group.attach(*fresh->domain));
    }
    if (const auto replayed = replay(task, *fresh->domain); !replayed) {
        group.detach(*fresh->domain);
        return std::unexpected(replayed.error());
    }
    domains_.insert(domains_.begin(), std::move(fresh));
    recompute_pgsize_bitmap();
    return domains_.front().get();
}

// What could be mapped with the group in. Refused when a mapping that exists could not.
Result<IovaRanges> Type1::ranges_with(const iommu::Domain& domain, const iommu::Group& group) {
    const Range aperture = domain.aperture();
    if (!iova_ranges_.empty()) {
        const Range first = iova_ranges_.ranges().front();
        const Range last = iova_ranges_.ranges().back();
        if (aperture.start > last.last || aperture.last < first.start) {
            return refuse(EINVAL,
                          "the aperture {:x} to {:x} has nothing in common with {:x} to {:x}",
                          kAttach, aperture.start, aperture.last, first.start, last.last);
        }
        for (auto mapping = mappings_.begin(); mapping != mappings_.end(); ++mapping) {
            const Range iovas{mapping->first, mapping->first + mapping->second.size - 1};
            if (!aperture.contains(iovas)) {
                return refuse(EINVAL, "the mapping at {:x} is outside of the aperture {:x} to {:x}",
                              kAttach, iovas.start, aperture.start, aperture.last);
            }
        }
    }
    const auto regions = group.reserved_regions();
    for (const iommu::ReservedRegion& region : regions) {
        if (region.type != iommu::ReservedType::direct_relaxable &&
            mappings_.overlapping(region.range) != mappings_.end()) {
            return refuse(EINVAL, "a mapping lies in the reserved region {:x} to {:x}", kAttach,
                          region.range.start, region.range.last);
        }
    }
    IovaRanges ranges = iova_ranges_;
    ranges.restrict_to(aperture);
    if (!ranges.exclude(regions)) {
        return refuse(EINVAL, "group {} leaves no iova that could be mapped", kAttach, group.id());
    }
    return ranges;
}

// The kernel goes on without a page size in common and then shifts by a number that means nothing.
Result<> Type1::check_page_sizes(const iommu::Domain& domain) const {
    if ((common_page_sizes() & domain.pgsize_bitmap()) == 0) {
        return refuse(EINVAL, "page sizes {:x} have none in common with {:x}", kAttach,
                      domain.pgsize_bitmap(), pgsize_bitmap_);
    }
    return {};
}

void Type1::recompute_ranges() {
    IovaRanges ranges;
    for (const auto& attached : domains_) {
        ranges.restrict_to(attached->domain->aperture());
    }
    for (const auto& attached : domains_) {
        for (const iommu::Group* const group : attached->groups) {
            ranges.exclude(group->reserved_regions());
        }
    }
    iova_ranges_ = std::move(ranges);
}

std::uint64_t Type1::common_page_sizes() const {
    std::uint64_t common = ~std::uint64_t{0};
    for (const auto& attached : domains_) {
        common &= attached->domain->pgsize_bitmap();
    }
    return common;
}

void Type1::recompute_pgsize_bitmap() {
    std::uint64_t common = common_page_sizes();
    // Smaller pages than the machine's are not shown: what is pinned has the machine's size.
    if ((common & (page_size() - 1)) != 0) {
        common = (common & ~(page_size() - 1)) | page_size();
    }
    pgsize_bitmap_ = common;
}

// Puts all mappings into a domain that is not in the list yet.
Result<> Type1::replay(fs::Task& task, iommu::Domain& domain) {
    for (auto at = mappings_.begin(); at != mappings_.end(); ++at) {
        const auto replayed = replay_one(task, domain, at->first, at->second);
        if (replayed) {
            continue;
        }
        while (at != mappings_.begin()) {
            --at;
            iommu::unmap(domain, at->first, at->second.size);
            if (!at->second.iommu_mapped) {
                unpin_all(at->second);
            }
        }
        return replayed;
    }
    for (auto& [iova, mapping] : mappings_) {
        mapping.iommu_mapped = true;
    }
    return {};
}

// What was only recorded, for want of a domain, is pinned now. Refused, it is as before.
Result<> Type1::replay_one(fs::Task& task, iommu::Domain& domain, std::uint64_t iova,
                           Mapping& mapping) {
    std::uint64_t mapped = 0;
    const Result<> replayed = [&]() -> Result<> {
        mutex_.assert_held();
        for (std::uint64_t pinned = mapping.iommu_mapped ? mapping.size : 0;
             pinned < mapping.size;) {
            pinned += TRY(pin_run(task, iova, mapping, pinned, mapping.size - pinned))
            .bytes;
        }
        for (const mm::PhysicalRun& run : mapping.pins) {
            TRY(iommu::map(domain, iova + mapped, run.address, run.bytes,
                           mapping.protection | iommu::kCache, task.faults()));
            mapped += run.bytes;
        }
        return {};
    }();
    if (!replayed) {
        if (mapped != 0) {
            iommu::unmap(domain, iova, mapped);
        }
        if (!mapping.iommu_mapped) {
            unpin_all(mapping);
        }
    }
    return replayed;
}

void Type1::detach_group(iommu::Group& group) {
    const Lock lock(mutex_);
    if (std::erase(emulated_groups_, &group) != 0) {
        if (emulated_groups_.empty() && domains_.empty()) {
            remove_all();
        }
        return;
    }
    const auto found = std::find_if(domains_.begin(), domains_.end(), [&](const auto& attached) {
        return std::find(attached->groups.begin(), attached->groups.end(), &group) !=
               attached->groups.end();
    });
    if (found == domains_.end()) {
        return;
    }
    AttachedDomain& attached = **found;
    group.detach(*attached.domain);
    std::erase(attached.groups, &group);
    if (attached.groups.empty()) {
        // A group that is owned is what entitles the container to its mappings.
        if (domains_.size() == 1) {
            if (emulated_groups_.empty()) {
                remove_all();
            } else {
                for (auto& [iova, mapping] : mappings_) {
                    leave_to_drivers(iova, mapping);
                }
            }
        }
        domains_.erase(found);
        recompute_pgsize_bitmap();
    }
    recompute_ranges();
    // Its devices may have written anything.
    if (tracks_dirty_) {
        mark_all_dirty();
    }
}

}  // namespace kvmiommu::vfio
