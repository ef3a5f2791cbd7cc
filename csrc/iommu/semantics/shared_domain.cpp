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

}  // namespace

SharedDomain::SharedDomain(Device& first, Rules rules, std::shared_ptr<DriverSizes> driver_sizes)
    : Domain(first.ops(), DomainType::unmanaged, first.iommu_device().page_sizes,
             {0, low_mask(first.iommu_device().address_width)}),
      rules_(rules),
      all_driver_sizes_(std::move(driver_sizes)),
      made_for_(first.iommu_device()),
      maker_(first.name(), first.ops(), made_for_),
      driver_sizes_(all_driver_sizes_->follow(*this)) {
    take_ranges();
    if (rules_.semantics == Semantics::operations) {
        set_pgsize_bitmap(driver_sizes_);
    }
}

SharedDomain::~SharedDomain() {
    all_driver_sizes_->unfollow(*this);
}

bool SharedDomain::shares() const {
    return rules_.semantics == Semantics::operations || rules_.semantics == Semantics::common ||
           rules_.semantics == Semantics::legacy;
}

bool SharedDomain::spans_drivers() const {
    return rules_.semantics == Semantics::tables || rules_.semantics == Semantics::common ||
           rules_.semantics == Semantics::device;
}

// Where page sizes are the driver's, a domain has no say in them.
AttachAfterMap SharedDomain::after_map() const {
    return rules_.semantics == Semantics::operations ? AttachAfterMap::refuse : rules_.after_map;
}

// --- what the domain can do ---

void SharedDomain::set_driver_sizes(std::uint64_t sizes) {
    const Lock lock(mutex_);
    driver_sizes_ = sizes;
    update();
}

// The page sizes that IOMMUs with tables in common have in common, with `joining` or without.
std::uint64_t SharedDomain::common_sizes(const Device* joining) const {
    const bool own = rules_.semantics == Semantics::domain;
    std::uint64_t sizes = own ? made_for_.page_sizes : ~std::uint64_t{0};
    const auto take = [&](const IommuDevice& iommu) {
        mutex_.assert_held();
        if (!own || unfit_.contains(&iommu)) {
            sizes &= iommu.page_sizes;
        }
    };
    for (const auto& table : tables_) {
        if (!table->apart) {
            for (const Device* const device : table->devices) {
                take(device->iommu_device());
            }
        }
    }
    if (joining != nullptr) {
        take(joining->iommu_device());
    }
    return sizes;
}

// The IOMMU that a table for these devices is made for, with the page sizes of all in common.
IommuDevice SharedDomain::common_iommu(const std::vector<Device*>& devices,
                                       std::uint64_t sizes) const {
    const bool own = rules_.semantics == Semantics::domain;
    IommuDevice common = own ? made_for_ : devices.front()->iommu_device();
    for (const Device* const device : devices) {
        if (!own || unfit_.contains(&device->iommu_device())) {
            common = in_common(common, device->iommu_device());
        }
    }
    common.page_sizes = sizes;
    return common;
}

// The page sizes that a table which is not apart may use.
std::uint64_t SharedDomain::usable_sizes() const {
    std::uint64_t sizes = ~std::uint64_t{0};
    if (rules_.semantics == Semantics::operations) {
        sizes = driver_sizes_;
    }
    if (shares() || rules_.semantics == Semantics::domain) {
        for (const auto& table : tables_) {
            sizes &= table->apart ? ~std::uint64_t{0} : table->iommu().page_sizes;
        }
    }
    return sizes;
}

// What the domain shows of its tables: sizes that all have; where they differ, all multiples of
// what the coarsest has.
void SharedDomain::update() {
    if (tables_.empty()) {
        if (rules_.semantics == Semantics::operations) {
            set_pgsize_bitmap(driver_sizes_);
        }
        return;
    }
    const std::uint64_t usable = usable_sizes();
    std::uint64_t all = ~std::uint64_t{0};
    std::uint64_t any = 0;
    std::uint64_t smallest = 0;
    bool each_has_some = true;
    std::uint64_t last = ~std::uint64_t{0};
    for (const auto& table : tables_) {
        const std::uint64_t own = table->domain().pgsize_bitmap();
        const std::uint64_t sizes = table->apart ? own : own & usable;
        all &= sizes;
        any |= sizes;
        smallest = std::max(smallest, lowest_bit(sizes));
        each_has_some &= sizes != 0;
        last = std::min(last, table->domain().aperture().last);
    }
    const std::uint64_t multiples = ~(smallest - 1) & (2 * kLargest - 1);
    set_pgsize_bitmap(!each_has_some ? 0 : all == any ? all : multiples);
    set_aperture_last(last);
}

// --- devices ---

Result<> SharedDomain::attach_device(Device& device, FaultPoints& faults) {
    const Lock lock(mutex_);
    if (table_of(device) != nullptr) {
        return {};
    }
    TRY(check_allowed(device));
    if (SharedTable* const table = table_with(device)) {
        table->devices.push_back(&device);
    } else if (shares()) {
        TRY(share(device, faults));
    } else if (rules_.semantics == Semantics::domain) {
        TRY(join(device, faults));
    } else {
        TRY(add_table(device, false, faults));
    }
    drop_unused();
    update();
    return {};
}

void SharedDomain::detach_device(Device& device) {
    const Lock lock(mutex_);
    SharedTable* const table = table_of(device);
    if (table == nullptr) {
        return;
    }
    std::erase(table->devices, &device);
    drop_unused();
    if (shares() || rules_.semantics == Semantics::domain) {
        // A detach cannot fail: without memory for wider tables the ones that there are stay.
        FaultPoints none;
        static_cast<void>(reshape(nullptr, common_sizes(nullptr), false, none));
    }
    update();
}

Result<> SharedDomain::check_allowed(const Device& device) const {
    if (!spans_drivers() && &device.ops() != &ops()) {
        return refuse(EINVAL, "the domain is of another IOMMU driver than the device", kSource);
    }
    if (rules_.semantics == Semantics::instance && &device.iommu_device() != &made_for_) {
        return refuse(EINVAL, "the domain's table is not one for the device's IOMMU", kSource);
    }
    return {};
}

SharedTable* SharedDomain::table_of(const Device& device) const {
    for (const auto& table : tables_) {
        if (std::ranges::find(table->devices, &device) != table->devices.end()) {
            return table.get();
        }
    }
    return nullptr;
}

// A table that is one for the device's IOMMU already.
SharedTable* SharedDomain::table_with(const Device& device) const {
    for (const auto& table : tables_) {
        const bool serves = std::ranges::any_of(table->devices, [&](const Device* other) {
            return &other->iommu_device() == &device.iommu_device();
        });
        const bool alike = !shares() && rules_.semantics != Semantics::domain &&
                           &table->ops() == &device.ops() &&
                           are_alike(table->iommu(), device.iommu_device());
        if ((serves || alike) && rules_.semantics != Semantics::device) {
            return table.get();
        }
    }
    return nullptr;
}

// Puts a device into its driver's table, which gets the page sizes that all IOMMUs have in common.
Result<> SharedDomain::share(Device& device, FaultPoints& faults) {
    const std::uint64_t sizes = common_sizes(&device);
    const std::uint64_t usable =
        rules_.semantics == Semantics::operations ? sizes & driver_sizes_ : sizes;
    std::uint64_t in_use = 0;
    for (const auto& table : tables_) {
        in_use |= table->apart ? 0 : table->sizes_in_use(mappings_);
    }
    const std::uint64_t lacking = in_use & ~sizes;
    if (lacking == 0 && usable != 0) {
        return reshape(&device, sizes, false, faults);
    }
    if (after_map() == AttachAfterMap::second_table && !tables_.empty()) {
        return add_table(device, true, faults);
    }
    if (usable == 0) {
        return refuse(EINVAL, "page sizes {:x} have none in common with those of the domain",
                      kSource, device.iommu_device().page_sizes);
    }
    if (after_map() != AttachAfterMap::rebuild) {
        return refuse(EINVAL, "pages of sizes {:x} are in use, of which the IOMMU lacks {:x}",
                      kSource, in_use, lacking);
    }
    return rebuild(device, sizes, faults);
}

// Puts a device into the domain of another IOMMU, whose driver decides whether its table fits.
Result<> SharedDomain::join(Device& device, FaultPoints& faults) {
    const IommuDevice& iommu = device.iommu_device();
    const auto own = TRY(maker_.ops().domain_alloc_paging(maker_, faults));
    if (own->attach_device(device, faults)) {
        return reshape(&device, common_sizes(&device), false, faults);
    }
    if (after_map() == AttachAfterMap::second_table) {
        return add_table(device, true, faults);
    }
    if ((common_sizes(nullptr) & iommu.page_sizes) == 0 || iommu.stage != made_for_.stage) {
        return refuse(EINVAL, "the domain's table is not one for the device's IOMMU", kSource);
    }
    unfit_.insert(&iommu);
    return rebuild(device, common_sizes(&device), faults);
}

// A table for the device's IOMMU as it is.
Result<> SharedDomain::add_table(Device& device, bool apart, FaultPoints& faults) {
    auto table = TRY(SharedTable::create(device.ops(), device.iommu_device(), apart, snoops_,
                                         mappings_, faults));
    table->devices.push_back(&device);
    tables_.push_back(std::move(table));
    return {};
}

// Maps all anew with these page sizes.
Result<> SharedDomain::rebuild(Device& device, std::uint64_t sizes, FaultPoints& faults) {
    MappingList before = mappings_;
    mappings_.set_page_sizes(sizes);
    Undo undo([&] {
        mutex_.assert_held();
        mappings_ = std::move(before);
    });
    TRY(reshape(&device, sizes, true, faults));
    undo.dismiss();
    return {};
}

// Makes the tables with sizes in common anew where their IOMMUs have something else in common now,
// or all of them; and one for a device that joins, if none is its driver's. Refused, all is as it
// was.
Result<> SharedDomain::reshape(Device* joining, std::uint64_t sizes, bool all,
                               FaultPoints& faults) {
    struct Change {
        std::vector<Device*> devices;
        std::unique_ptr<SharedTable> table;  // null: the one that there is
    };
    std::vector<Change> changes(tables_.size());
    const auto make = [&](std::vector<Device*> devices) -> Result<Change> {
        mutex_.assert_held();
        auto table = TRY(SharedTable::create(devices.front()->ops(), common_iommu(devices, sizes),
                                             false, snoops_, mappings_, faults));
        return Change{std::move(devices), std::move(table)};
    };
    for (std::size_t at = 0; at < tables_.size(); ++at) {
        const SharedTable& table = *tables_[at];
        std::vector<Device*> devices = table.devices;
        if (!table.apart && joining != nullptr && &table.ops() == &joining->ops() &&
            table.iommu().stage == joining->iommu_device().stage) {
            devices.push_back(std::exchange(joining, nullptr));
        }
        // The last table of a domain without devices stays what it is.
        const bool same = table.apart || devices.empty() ||
                          (!all && are_alike(common_iommu(devices, sizes), table.iommu()));
        changes[at] = same ? Change{std::move(devices), nullptr} : TRY(make(std::move(devices)));
    }
    if (joining != nullptr) {
        changes.push_back(TRY(make({joining})));
        tables_.emplace_back();
    }
    for (std::size_t at = 0; at < tables_.size(); ++at) {
        if (changes[at].table) {
            tables_[at] = std::move(changes[at].table);
        }
        tables_[at]->devices = std::move(changes[at].devices);
    }
    return {};
}

// A table without devices goes, but for the last one. Where only tables apart are left, the first
// of them no longer is; a domain of one IOMMU gets that one's table again when a device needs it.
void SharedDomain::drop_unused() {
    const auto unused = [](const auto& table) { return table->devices.empty(); };
    if (std::ranges::all_of(tables_, unused)) {
        tables_.resize(std::min<std::size_t>(tables_.size(), 1));
    } else {
        std::erase_if(tables_, unused);
    }
    if (!tables_.empty() && rules_.semantics != Semantics::domain &&
        std::ranges::all_of(tables_, [](const auto& table) { return table->apart; })) {
        tables_.front()->apart = false;
        mappings_.set_page_sizes(~std::uint64_t{0});
    }
}

// --- mappings ---

Result<> SharedDomain::map_range(std::uint64_t iova, PhysAddr address, std::uint64_t size,
                                 std::uint32_t protection, FaultPoints& faults) {
    const Lock lock(mutex_);
    if (tables_.empty()) {
        return refuse(ENODEV, "no device was attached yet, so there is no table", kSource);
    }
    const std::uint64_t sizes = pgsize_bitmap();
    if (sizes == 0) {
        return refuse(ENODEV, "the IOMMUs of the domain have no page size in common", kSource);
    }
    if (!is_aligned(iova | address | size, lowest_bit(sizes))) {
        return refuse(EINVAL, "iova {:x}, address {:x} or size {:x} is not a multiple of {:x}",
                      kSource, iova, address, size, lowest_bit(sizes));
    }
    if (size == 0) {
        return {};
    }
    const Mapping mapping{size, address, protection, usable_sizes()};
    std::vector<SharedTable*> done;
    Undo undo([&] {
        for (SharedTable* const table : done) {
            unmap_whole(table->domain(), iova, size);
        }
    });
    for (const auto& table : tables_) {
        TRY(table->map(iova, mapping, faults));
        done.push_back(table.get());
    }
    undo.dismiss();
    mappings_.add(iova, mapping);
    return {};
}

Unmapped SharedDomain::unmap_range(std::uint64_t iova, std::uint64_t size, FaultPoints& faults) {
    const Lock lock(mutex_);
    const std::uint64_t sizes = pgsize_bitmap();
    if (tables_.empty() || sizes == 0 || !is_aligned(iova | size, lowest_bit(sizes))) {
        return {};
    }
    if (!Range::of(iova, size)) {
        size = -iova;  // up to the last byte
    }
    const std::uint64_t usable = usable_sizes();
    std::vector<SharedTable::Taken> taken(tables_.size());
    RangeSet all;
    for (std::size_t at = 0; at < tables_.size(); ++at) {
        tables_[at]->unmap(iova, size, usable, mappings_, taken[at], faults);
        all.add(taken[at].iovas);
    }
    // What went from one goes from all; a leaf that goes with it in one table goes from all in
    // turn.
    for (std::size_t at = 0, same = 0; same < tables_.size(); at = (at + 1) % tables_.size()) {
        tables_[at]->take(mappings_.mapped(all.without(taken[at].iovas)), usable, mappings_,
                          taken[at], faults);
        const bool more = !taken[at].iovas.without(all).empty();
        all.add(taken[at].iovas);
        same = more ? 1 : same + 1;
    }
    mappings_.remove(all);
    std::uint64_t most = 0;
    for (const SharedTable::Taken& each : taken) {
        most = std::max(most, each.bytes);
    }
    return {most, all.ranges()};
}

Mapped SharedDomain::map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                               std::uint64_t count, std::uint32_t protection, FaultPoints& faults) {
    const std::uint64_t bytes = page_size * count;
    if (const auto mapped = map_range(iova, address, bytes, protection, faults); !mapped) {
        return {0, mapped.error()};
    }
    return {bytes, std::nullopt};
}

std::uint64_t SharedDomain::unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                                        std::uint64_t count, FaultPoints& faults) {
    return unmap_range(iova, page_size * count, faults).bytes;
}

// --- what the tables say ---

PhysAddr SharedDomain::iova_to_phys(std::uint64_t iova) const {
    const Lock lock(mutex_);
    return tables_.empty() ? 0 : tables_.front()->domain().iova_to_phys(iova);
}

PhysAddr SharedDomain::iova_to_phys_of(const Device& device, std::uint64_t iova) const {
    const Lock lock(mutex_);
    const SharedTable* const table = table_of(device);
    return table == nullptr ? 0 : table->domain().iova_to_phys(iova);
}

std::optional<Translation> SharedDomain::translate(std::uint64_t iova) const {
    const Lock lock(mutex_);
    return tables_.empty() ? std::nullopt : tables_.front()->domain().translate(iova);
}

std::vector<WalkStep> SharedDomain::walk(std::uint64_t iova) const {
    const Lock lock(mutex_);
    return tables_.empty() ? std::vector<WalkStep>{} : tables_.front()->domain().walk(iova);
}

std::vector<std::uint64_t> SharedDomain::tables() const {
    const Lock lock(mutex_);
    std::vector<std::uint64_t> bytes;
    for (const auto& table : tables_) {
        bytes.push_back(table->domain().table_bytes());
    }
    return bytes;
}

std::uint64_t SharedDomain::table_bytes() const {
    std::uint64_t bytes = 0;
    for (const std::uint64_t each : tables()) {
        bytes += each;
    }
    return bytes;
}

bool SharedDomain::enforce_cache_coherency() {
    const Lock lock(mutex_);
    bool all = !tables_.empty();
    for (const auto& table : tables_) {
        all &= table->domain().enforce_cache_coherency();
    }
    snoops_ = all;
    return all;
}

}  // namespace kvmiommu::iommu
