// SPDX-License-Identifier: MIT

#include "iommu/semantics/shared_domain.h"

#include <algorithm>
#include <utility>

#include "base/undo.h"
#include "iommu/map.h"

namespace kvmiommu::iommu {

namespace {

constexpr Source kSource{"kvmiommu: iommu/semantics/semantics.h"};

// Tables with different page sizes are mapped together in any power of two from the largest of
// their smallest pages up to this; each table splits that into its own pages.
constexpr std::uint64_t kLargest = std::uint64_t{1} << 51;

// From the first byte of either to the last of either.
std::optional<Range> joined(std::optional<Range> one, std::optional<Range> other) {
    if (!one || !other) {
        return one ? one : other;
    }
    return Range{std::min(one->start, other->start), std::max(one->last, other->last)};
}

}  // namespace

SharedDomain::SharedDomain(Device& first, Rules rules, std::uint64_t driver_sizes)
    : Domain(first.ops(), DomainType::unmanaged, first.iommu_device().page_sizes,
             {0, low_mask(first.iommu_device().address_width)}),
      rules_(rules),
      driver_sizes_(driver_sizes) {}

SharedDomain::~SharedDomain() = default;

bool SharedDomain::shares() const {
    return rules_.semantics == Semantics::operations || rules_.semantics == Semantics::common ||
           rules_.semantics == Semantics::legacy;
}

bool SharedDomain::spans_drivers() const {
    return rules_.semantics == Semantics::tables || rules_.semantics == Semantics::common ||
           rules_.semantics == Semantics::device;
}

// --- devices ---

Result<> SharedDomain::attach_device(Device& device) {
    const Lock lock(mutex_);
    if (table_of(device) != nullptr) {
        return {};
    }
    TRY(check_driver(device));
    TRY(shares() ? share(device) : join(device));
    update_sizes();
    return {};
}

void SharedDomain::detach_device(Device& device) {
    const Lock lock(mutex_);
    Table* const table = table_of(device);
    if (table == nullptr) {
        return;
    }
    std::erase(table->devices, &device);
    // The last table stays, for the mappings stay.
    if (table->devices.empty() && tables_.size() > 1) {
        std::erase_if(tables_, [&](const auto& each) { return each.get() == table; });
    }
    update_sizes();
}

Result<> SharedDomain::check_driver(const Device& device) const {
    if (!spans_drivers() && &device.ops() != &ops()) {
        return refuse(EINVAL, "the domain is of another IOMMU driver than the device", kSource);
    }
    // A mapping above the iovas of the device's IOMMU could not be put into its table.
    if (!mappings_.empty()) {
        const auto& [iova, mapping] = *mappings_.rbegin();
        const std::uint64_t last = iova + (mapping.size - 1);
        if (last > low_mask(device.iommu_device().address_width)) {
            return refuse(EINVAL, "something is mapped at {:x}, beyond the {} bits of the device",
                          kSource, last, device.iommu_device().address_width);
        }
    }
    return {};
}

// The device uses a table that its driver attaches it to, or a new one if there may be several.
Result<> SharedDomain::join(Device& device) {
    for (const auto& table : tables_) {
        if (rules_.semantics == Semantics::device || &device.ops() != &table->domain->ops()) {
            continue;
        }
        if (rules_.semantics == Semantics::instance &&
            table->instance.name != device.iommu_device().name) {
            continue;
        }
        if (table->domain->attach_device(device)) {
            table->devices.push_back(&device);
            return {};
        }
    }
    const bool own_choice = rules_.semantics == Semantics::domain;
    if (!tables_.empty() && own_choice && rules_.after_map == AttachAfterMap::rebuild) {
        std::uint64_t common = device.iommu_device().page_sizes;
        for (const auto& table : tables_) {
            common &= table->instance.page_sizes;
        }
        if (common != 0) {
            return rebuild(device, common);
        }
    }
    const bool one_table = rules_.semantics == Semantics::instance ||
                           (own_choice && rules_.after_map != AttachAfterMap::second_table);
    if (!tables_.empty() && one_table) {
        return refuse(EINVAL, "the domain's table is not one for the device's IOMMU", kSource);
    }
    auto fresh = TRY(make_table(device, device.iommu_device().page_sizes));
    fresh->devices.push_back(&device);
    tables_.push_back(std::move(fresh));
    return {};
}

// The device uses its driver's table, with the page sizes that all IOMMUs have in common.
Result<> SharedDomain::share(Device& device) {
    const std::uint64_t own = rules_.semantics == Semantics::operations
                                  ? driver_sizes_
                                  : device.iommu_device().page_sizes;
    std::uint64_t common = own;
    for (const auto& table : tables_) {
        common &= table->instance.page_sizes;
    }
    std::uint64_t in_use = 0;
    bool all_keep_some = common != 0;
    for (const auto& table : tables_) {
        in_use |= sizes_in_use(*table);
        all_keep_some &= (table->sizes() & common) != 0;
    }
    const std::uint64_t lacking = in_use & ~common;
    if (lacking != 0 || !all_keep_some) {
        if (rules_.after_map == AttachAfterMap::second_table && !tables_.empty()) {
            auto fresh = TRY(make_table(device, own));
            fresh->devices.push_back(&device);
            tables_.push_back(std::move(fresh));
            return {};
        }
        if (common == 0) {
            return refuse(EINVAL, "page sizes {:x} have none in common with those of the domain",
                          kSource, own);
        }
        if (rules_.after_map == AttachAfterMap::refuse && lacking != 0) {
            return refuse(EINVAL, "pages of sizes {:x} are in use, of which the IOMMU lacks {:x}",
                          kSource, in_use, lacking);
        }
        // Nothing that is mapped needs a size that is lacking; but a table may have none of the
        // common sizes, and is made anew as well.
        return rebuild(device, common);
    }
    for (const auto& table : tables_) {
        if (&table->domain->ops() == &device.ops()) {
            table->devices.push_back(&device);
            for (const auto& each : tables_) {
                each->instance.page_sizes &= common;
            }
            return {};
        }
    }
    auto fresh = TRY(make_table(device, common));
    fresh->devices.push_back(&device);
    tables_.push_back(std::move(fresh));
    for (const auto& each : tables_) {
        each->instance.page_sizes &= common;
    }
    return {};
}

// Makes every table anew, with fewer page sizes, and one for the device if none serves it.
Result<> SharedDomain::rebuild(Device& device, std::uint64_t sizes) {
    Tables fresh;
    bool served = false;
    for (const auto& table : tables_) {
        if (table->devices.empty()) {
            continue;
        }
        fresh.push_back(TRY(make_table(*table->devices.front(), sizes)));
        fresh.back()->devices = table->devices;
        if (!served && &table->domain->ops() == &device.ops()) {
            fresh.back()->devices.push_back(&device);
            served = true;
        }
    }
    if (!served) {
        fresh.push_back(TRY(make_table(device, sizes)));
        fresh.back()->devices.push_back(&device);
    }
    tables_ = std::move(fresh);
    return {};
}

// A table for a device's IOMMU, with all mappings in it.
Result<std::unique_ptr<SharedDomain::Table>> SharedDomain::make_table(Device& device,
                                                                      std::uint64_t sizes) const {
    auto table = std::make_unique<Table>();
    table->instance = device.iommu_device();
    table->instance.page_sizes = sizes;
    table->maker = std::make_unique<Device>(device.name(), device.ops(), table->instance);
    // Drivers compare IommuDevices: a table that is not shared is the device's own IOMMU's.
    const bool own = !shares() && sizes == device.iommu_device().page_sizes;
    table->domain = TRY(device.ops().domain_alloc_paging(own ? device : *table->maker, no_faults_));
    if (table->sizes() == 0) {
        return refuse(EINVAL, "the driver has no table for page sizes {:x}", kSource, sizes);
    }
    for (const auto& [iova, mapping] : mappings_) {
        TRY(table->map(iova, mapping.address, mapping.size, mapping.protection, no_faults_));
    }
    return table;
}

// As iommu::map(), with the page sizes that the table may use now, which may be fewer than those it
// was made with.
Result<> SharedDomain::Table::map(std::uint64_t iova, PhysAddr address, std::uint64_t size,
                                  std::uint32_t protection, FaultPoints& faults) {
    const std::uint64_t sizes = this->sizes();
    if (!is_aligned(iova | address | size, lowest_bit(sizes))) {
        return refuse(EINVAL, "iova {:x}, address {:x} or size {:x} is not a multiple of {:x}",
                      kSource, iova, address, size, lowest_bit(sizes));
    }
    for (std::uint64_t done = 0; done < size;) {
        const PageChoice choice = choose_page_size(sizes, iova + done, address + done, size - done);
        const Mapped mapped = domain->map_pages(iova + done, address + done, choice.page_size,
                                                choice.count(), protection, faults);
        done += mapped.bytes;
        if (mapped.refusal) {
            unmap(*domain, iova, done);
            return std::unexpected(*mapped.refusal);
        }
    }
    return {};
}

// The sizes of all pages that the mappings are split into.
std::uint64_t SharedDomain::sizes_in_use(const Table& table) const {
    std::uint64_t sizes = 0;
    for (const auto& [iova, mapping] : mappings_) {
        for (std::uint64_t done = 0; done < mapping.size;) {
            const PageChoice choice = choose_page_size(table.sizes(), iova + done,
                                                       mapping.address + done, mapping.size - done);
            sizes |= choice.page_size;
            done += choice.bytes;
        }
    }
    return sizes;
}

SharedDomain::Table* SharedDomain::table_of(const Device& device) {
    for (const auto& table : tables_) {
        if (std::ranges::find(table->devices, &device) != table->devices.end()) {
            return table.get();
        }
    }
    return nullptr;
}

void SharedDomain::update_sizes() {
    std::uint64_t all = ~std::uint64_t{0};
    std::uint64_t any = 0;
    std::uint64_t smallest = 0;
    for (const auto& table : tables_) {
        const std::uint64_t sizes = table->sizes();
        all &= sizes;
        any |= sizes;
        smallest = std::max(smallest, lowest_bit(sizes));
    }
    if (!tables_.empty()) {
        set_pgsize_bitmap(all == any ? all : ~(smallest - 1) & (2 * kLargest - 1));
    }
}

// --- mappings ---

Mapped SharedDomain::map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                               std::uint64_t count, std::uint32_t protection, FaultPoints& faults) {
    const Lock lock(mutex_);
    const std::uint64_t bytes = page_size * count;
    if (tables_.empty()) {
        return {
            0, refuse(ENODEV, "no device was attached yet, so there is no table", kSource).error()};
    }
    std::vector<Table*> done;
    Undo undo([&] {
        for (Table* const table : done) {
            unmap(*table->domain, iova, bytes);
        }
    });
    for (const auto& table : tables_) {
        if (const auto mapped = table->map(iova, address, bytes, protection, faults); !mapped) {
            return {0, mapped.error()};
        }
        done.push_back(table.get());
    }
    undo.dismiss();
    mappings_[iova] = {bytes, address, protection};
    return {bytes, std::nullopt};
}

std::uint64_t SharedDomain::unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                                        std::uint64_t count) {
    const Lock lock(mutex_);
    const Range asked{iova, iova + (page_size * count - 1)};
    std::vector<std::optional<Range>> gone(tables_.size());  // from each table
    std::optional<Range> whole;                              // from any of them
    for (std::size_t at = 0; at < tables_.size(); ++at) {
        gone[at] = unmap_from(*tables_[at]->domain, asked);
        whole = joined(whole, gone[at]);
    }
    if (!whole) {
        return 0;
    }
    // A larger leaf of one table went whole, or another table stopped before a hole: all of them
    // lose the same, which may be more in turn.
    for (bool differ = true; differ;) {
        differ = false;
        for (std::size_t at = 0; at < tables_.size(); ++at) {
            if (gone[at] && gone[at]->contains(*whole)) {
                continue;
            }
            gone[at] = joined(whole, unmap_rest(*tables_[at]->domain, *whole, gone[at]));
            differ |= *gone[at] != *whole;
            whole = gone[at];
        }
    }
    forget(*whole);
    return whole->size();
}

// Unmaps a range up to the first hole; returns what went, with leaves that went whole.
std::optional<Range> SharedDomain::unmap_from(Domain& table, Range range) {
    std::optional<Range> gone;
    std::uint64_t at = range.start;
    // How much went does not tell where a leaf began that the range begins in.
    if (const auto found = table.translate(at); found && found->leaf.start < at) {
        const std::uint64_t last = std::min(found->leaf.last, range.last);
        if (unmap(table, at, last - at + 1) == 0) {
            return std::nullopt;
        }
        gone = table.translate(found->leaf.start) ? Range{at, last} : found->leaf;
        if (gone->last >= range.last) {
            return gone;
        }
        at = gone->last + 1;
    }
    if (const std::uint64_t bytes = unmap(table, at, range.last - at + 1); bytes != 0) {
        gone = joined(gone, Range{at, at + (bytes - 1)});
    }
    return gone;
}

// Unmaps what a table still has of a range: what the list says, but for what has gone from it
// already. Returns what went.
std::optional<Range> SharedDomain::unmap_rest(Domain& table, Range whole,
                                              std::optional<Range> gone) {
    std::optional<Range> all;
    const auto unmap_all = [&](Range range) {
        for (std::uint64_t at = range.start;;) {
            auto piece = unmap_from(table, {at, range.last});
            if (!piece) {
                const auto found = table.translate(at);
                if (!found) {
                    return;
                }
                // A driver that unmaps no part of a leaf.
                unmap(table, found->leaf.start, found->leaf.size());
                piece = found->leaf;
            }
            all = joined(all, piece);
            if (piece->last >= range.last) {
                return;
            }
            at = piece->last + 1;
        }
    };
    auto next = mappings_.upper_bound(whole.start);
    if (next != mappings_.begin()) {
        --next;
    }
    for (; next != mappings_.end() && next->first <= whole.last; ++next) {
        const auto mapped =
            Range{next->first, next->first + (next->second.size - 1)}.intersection(whole);
        if (!mapped) {
            continue;
        }
        if (!gone || !gone->overlaps(*mapped)) {
            unmap_all(*mapped);
            continue;
        }
        if (mapped->start < gone->start) {
            unmap_all({mapped->start, gone->start - 1});
        }
        if (mapped->last > gone->last) {
            unmap_all({gone->last + 1, mapped->last});
        }
    }
    return all;
}

// Takes a range out of the list; of mappings that reach beyond it the ends stay.
void SharedDomain::forget(Range range) {
    const auto [iova, last] = range;
    auto at = mappings_.upper_bound(iova);
    if (at != mappings_.begin()) {
        --at;
    }
    while (at != mappings_.end() && at->first <= last) {
        const auto [start, mapping] = *at;
        const std::uint64_t end = start + (mapping.size - 1);
        if (end < iova) {
            ++at;
            continue;
        }
        at = mappings_.erase(at);
        if (start < iova) {
            mappings_[start] = {iova - start, mapping.address, mapping.protection};
        }
        if (end > last) {
            mappings_[last + 1] = {end - last, mapping.address + (last + 1 - start),
                                   mapping.protection};
        }
    }
}

PhysAddr SharedDomain::iova_to_phys(std::uint64_t iova) const {
    const Lock lock(mutex_);
    return tables_.empty() ? 0 : tables_.front()->domain->iova_to_phys(iova);
}

std::optional<Translation> SharedDomain::translate(std::uint64_t iova) const {
    const Lock lock(mutex_);
    return tables_.empty() ? std::nullopt : tables_.front()->domain->translate(iova);
}

std::vector<WalkStep> SharedDomain::walk(std::uint64_t iova) const {
    const Lock lock(mutex_);
    return tables_.empty() ? std::vector<WalkStep>{} : tables_.front()->domain->walk(iova);
}

std::uint64_t SharedDomain::table_bytes() const {
    const Lock lock(mutex_);
    std::uint64_t bytes = 0;
    for (const auto& table : tables_) {
        bytes += table->domain->table_bytes();
    }
    return bytes;
}

std::vector<std::uint64_t> SharedDomain::tables() const {
    const Lock lock(mutex_);
    std::vector<std::uint64_t> bytes;
    for (const auto& table : tables_) {
        bytes.push_back(table->domain->table_bytes());
    }
    return bytes;
}

bool SharedDomain::enforce_cache_coherency() {
    const Lock lock(mutex_);
    bool all = !tables_.empty();
    for (const auto& table : tables_) {
        all &= table->domain->enforce_cache_coherency();
    }
    return all;
}

}  // namespace kvmiommu::iommu
