// SPDX-License-Identifier: MIT

#include "iommu/semantics/shared_domain.h"

#include <algorithm>
#include <utility>

#include "iommu/map.h"

namespace kvmiommu::iommu {

namespace {

constexpr Source kSource{"kvmiommu: iommu/semantics/semantics.h"};

// What tables with sizes of their own are asked for together: any power of two that is a multiple
// of each one's smallest page. Each splits it for itself.
constexpr std::uint64_t kLargest = std::uint64_t{1} << 51;

}  // namespace

SharedDomain::SharedDomain(Device& first, Rules rules, std::uint64_t driver_sizes)
    : Domain(first.ops(), DomainType::unmanaged, first.instance().page_sizes,
             {0, low_mask(first.instance().address_width)}),
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
    // The last table stays: what is mapped is mapped, whoever uses it.
    if (table->devices.empty() && tables_.size() > 1) {
        std::erase_if(tables_, [&](const auto& each) { return each.get() == table; });
    }
    update_sizes();
}

Result<> SharedDomain::check_driver(const Device& device) const {
    if (!spans_drivers() && &device.ops() != &ops()) {
        return refuse(EINVAL, "the domain is of another IOMMU driver than the device", kSource);
    }
    // What lies above the iovas of the device's IOMMU could not be mapped for it.
    if (!mappings_.empty()) {
        const auto& [iova, mapping] = *mappings_.rbegin();
        const std::uint64_t last = iova + (mapping.size - 1);
        if (last > low_mask(device.instance().address_width)) {
            return refuse(EINVAL, "something is mapped at {:x}, beyond the {} bits of the device",
                          kSource, last, device.instance().address_width);
        }
    }
    return {};
}

// A table that takes the device as it is, or a new one, if there may be several.
Result<> SharedDomain::join(Device& device) {
    for (const auto& table : tables_) {
        if (rules_.semantics == Semantics::device || &device.ops() != &table->domain->ops()) {
            continue;
        }
        if (rules_.semantics == Semantics::instance &&
            table->instance.name != device.instance().name) {
            continue;
        }
        if (table->domain->attach_device(device)) {
            table->devices.push_back(&device);
            return {};
        }
    }
    const bool own_choice = rules_.semantics == Semantics::domain;
    if (!tables_.empty() && own_choice && rules_.after_map == AttachAfterMap::rebuild) {
        std::uint64_t common = device.instance().page_sizes;
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
    auto fresh = TRY(make_table(device, device.instance().page_sizes));
    fresh->devices.push_back(&device);
    tables_.push_back(std::move(fresh));
    return {};
}

// A table of the driver with the page sizes that all have in common.
Result<> SharedDomain::share(Device& device) {
    const std::uint64_t own =
        rules_.semantics == Semantics::operations ? driver_sizes_ : device.instance().page_sizes;
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
        // Or a table lacks all that remain in common, and maps nothing: anew it costs nobody a
        // page.
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

// Every table anew, with fewer sizes, and one for the device where there is none.
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

// A table for a device's IOMMU, with all in it that is mapped.
Result<std::unique_ptr<SharedDomain::Table>> SharedDomain::make_table(Device& device,
                                                                      std::uint64_t sizes) const {
    auto table = std::make_unique<Table>();
    table->instance = device.instance();
    table->instance.page_sizes = sizes;
    table->maker = std::make_unique<Device>(device.name(), device.ops(), table->instance);
    // A table that is not shared belongs to the IOMMU itself, for its driver to know it again.
    const bool own = !shares() && sizes == device.instance().page_sizes;
    table->domain = TRY(device.ops().domain_alloc_paging(own ? device : *table->maker, no_faults_));
    if (table->sizes() == 0) {
        return refuse(EINVAL, "the driver has no table for page sizes {:x}", kSource, sizes);
    }
    for (const auto& [iova, mapping] : mappings_) {
        TRY(table->map(iova, mapping.address, mapping.size, mapping.protection, no_faults_));
    }
    return table;
}

// As iommu::map(), with the page sizes that the table may use by now: fewer, perhaps, than it was
// made with.
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

// Sizes of the pages that what is mapped was split into.
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
    for (auto table = tables_.begin(); table != tables_.end(); ++table) {
        const auto mapped = (*table)->map(iova, address, bytes, protection, faults);
        if (mapped) {
            continue;
        }
        while (table != tables_.begin()) {
            --table;
            unmap(*(*table)->domain, iova, bytes);
        }
        return {0, mapped.error()};
    }
    mappings_[iova] = {bytes, address, protection};
    return {bytes, std::nullopt};
}

std::uint64_t SharedDomain::unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                                        std::uint64_t count) {
    const Lock lock(mutex_);
    const std::uint64_t asked = page_size * count;
    std::uint64_t most = 0;
    std::vector<std::optional<Range>> gone;  // from each table
    for (const auto& table : tables_) {
        const std::uint64_t bytes = unmap(*table->domain, iova, asked);
        const std::uint64_t from = bytes > asked ? align_down(iova, highest_bit(bytes)) : iova;
        gone.push_back(Range::of(from, bytes));
        most = std::max(most, bytes);
    }
    // A larger page of one table went whole: then all of it goes in the others as well.
    std::uint64_t start = iova;
    if (most > asked) {
        start = align_down(iova, highest_bit(most));
        const Range whole{start, start + (most - 1)};
        for (std::size_t at = 0; at < tables_.size(); ++at) {
            unmap_rest(*tables_[at]->domain, whole, gone[at]);
        }
    }
    forget(start, most);
    return most;
}

// What a table still has of a range: what the list says, but for what has gone from it already.
void SharedDomain::unmap_rest(Domain& table, Range whole, std::optional<Range> gone) {
    const auto unmap_all = [&table](Range range) {
        for (std::uint64_t done = 0; done <= range.last - range.start;) {
            const std::uint64_t at = range.start + done;
            const std::uint64_t bytes = unmap(table, at, range.last - at + 1);
            if (bytes == 0) {
                return;
            }
            done += bytes;
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
}

// Takes a range out of the list; what reaches beyond it stays with its ends.
void SharedDomain::forget(std::uint64_t iova, std::uint64_t size) {
    if (size == 0) {
        return;
    }
    const std::uint64_t last = iova + (size - 1);
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
