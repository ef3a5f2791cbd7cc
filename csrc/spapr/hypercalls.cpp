// SPDX-License-Identifier: MIT

#include "spapr/hypercalls.h"

#include <algorithm>
#include <bit>

#include "spapr/registered_memory.h"
#include "uapi/papr.h"

namespace kvmiommu::spapr {

namespace {

constexpr Source kCreate{"arch/powerpc/kvm/book3s_64_vio.c: kvm_vm_ioctl_create_spapr_tce"};

// Are `pages` pages from a bus address on in the window? (iommu_tce_check_ioba)
bool in_window(const Caller& caller, const GuestTable& table, std::uint64_t ioba,
               std::uint64_t pages) {
    const GuestTable::Window& window = table.window();
    if (!is_aligned(ioba, std::uint64_t{1} << window.page_shift)) {
        return false;
    }
    const std::uint64_t first = ioba >> window.page_shift;
    if (!caller.whole_range) {
        return first - window.offset < window.size;
    }
    return first >= window.offset && first + pages >= first &&
           first - window.offset + pages <= window.size;
}

// Is it linked to a table of a container of version 1, whose user maps by itself?
bool is_user_spaces(const GuestTable& table) {
    return std::any_of(table.links().begin(), table.links().end(),
                       [](const TableLink& link) { return link.table->holds_pages(); });
}

using Registered = std::optional<RegisteredMemory::Reader>;

// Only hardware tables need registered memory.
void open_for(Registered& registered, const Caller& caller, const GuestTable& table) {
    if (!table.links().empty()) {
        registered.emplace(RegisteredMemory::of(caller.mm));
    }
}

// Returns the user address behind an entry with rights. (kvmppc_tce_validate)
std::optional<std::uint64_t> valid_address(const Caller& caller, const Registered& registered,
                                           const GuestTable& table, Tce tce) {
    if (!is_aligned(tce.address, std::uint64_t{1} << table.page_shift())) {
        return std::nullopt;
    }
    const auto address = caller.memory.user_address(tce.address);
    if (!address) {
        return std::nullopt;
    }
    for (const TableLink& link : table.links()) {
        const MemoryRegion* const region = registered->find(*address, link.table->page_size());
        if (region == nullptr || !region->physical(*address, link.table->page_shift())) {
            return std::nullopt;
        }
    }
    return address;
}

// The number of pages of a hardware table in one page of a guest table.
struct Subpages {
    Subpages(const GuestTable& guest, const HardwareTable& hardware, std::uint64_t entry)
        : count(std::uint64_t{1} << (guest.page_shift() - hardware.page_shift())),
          first(entry * count) {}

    std::uint64_t count;
    std::uint64_t first;
};

// (kvmppc_tce_iommu_mapped_dec)
bool mapped_dec(const Registered& registered, const HardwareTable& table,
                HardwareTable::Tree::Cell user_address) {
    if (!user_address) {
        return true;
    }
    MemoryRegion* const region = registered->find(user_address.load(), table.page_size());
    if (region == nullptr) {
        return false;
    }
    region->unmap();
    user_address.store(0);
    return true;
}

// (kvmppc_tce_iommu_do_unmap)
std::int64_t unmap_page(const Registered& registered, HardwareTable& table, std::uint64_t page) {
    if (table.refuses(page)) {
        return uapi::H_TOO_HARD;
    }
    const auto old = table.exchange_there(page, {});
    if (old && old->rights != 0 && !mapped_dec(registered, table, table.user_address(page))) {
        [[maybe_unused]] const auto back = table.exchange_there(page, *old);
        return uapi::H_TOO_HARD;
    }
    return uapi::H_SUCCESS;
}

// (kvmppc_tce_iommu_do_map)
std::int64_t map_page(const Caller& caller, const Registered& registered, HardwareTable& table,
                      std::uint64_t page, std::uint64_t address, std::uint64_t rights) {
    const auto user_address = table.make_user_address(page, caller.faults);
    if (!user_address) {
        return uapi::H_TOO_HARD;
    }
    MemoryRegion* const region = registered->find(address, table.page_size());
    if (region == nullptr) {
        return uapi::H_TOO_HARD;
    }
    const auto physical = region->physical(address, table.page_shift());
    if (!physical || !region->map()) {
        return uapi::H_TOO_HARD;
    }
    std::optional<Tce> old = table.exchange_there(page, {*physical, rights});
    if (!old) {
        const auto made = table.exchange(page, {*physical, rights}, caller.faults);
        if (!made) {
            region->unmap();
            return uapi::H_TOO_HARD;
        }
        old = *made;
    }
    if (old->rights != 0) {
        mapped_dec(registered, table, user_address);
    }
    user_address.store(address);
    return uapi::H_SUCCESS;
}

// (kvmppc_tce_iommu_map)
std::int64_t map(const Caller& caller, const Registered& registered, const GuestTable& guest,
                 HardwareTable& table, std::uint64_t entry, std::uint64_t address,
                 std::uint64_t rights) {
    const Subpages pages(guest, table, entry);
    std::int64_t answer = uapi::H_SUCCESS;
    for (std::uint64_t at = 0; at < pages.count && answer == uapi::H_SUCCESS; ++at) {
        answer = map_page(caller, registered, table, pages.first + at,
                          address + (at << table.page_shift()), rights);
    }
    return answer;
}

// (kvmppc_tce_iommu_unmap)
std::int64_t unmap(const Registered& registered, const GuestTable& guest, HardwareTable& table,
                   std::uint64_t entry) {
    const Subpages pages(guest, table, entry);
    std::int64_t answer = uapi::H_SUCCESS;
    for (std::uint64_t at = 0; at < pages.count && answer == uapi::H_SUCCESS;) {
        // Pages without a table have nothing to unmap; a guest's page may be a great many of them.
        const std::uint64_t empty =
            table.refuses(pages.first + at) ? 0 : table.pages_without_table(pages.first + at);
        if (empty == 0) {
            answer = unmap_page(registered, table, pages.first + at);
        }
        at += std::max<std::uint64_t>(empty, 1);
    }
    return answer;
}

// The number of entries from one on that no hardware table has: there is nothing to unmap, and a
// guest may name as many as fit into a register.
std::uint64_t entries_without_table(const GuestTable& guest, const HardwareTable& table,
                                    std::uint64_t entry) {
    const Subpages pages(guest, table, entry);
    return table.refuses(pages.first) ? 0 : table.pages_without_table(pages.first) / pages.count;
}

// (kvmppc_clear_tce)
void clear(const GuestTable& guest, HardwareTable& table, std::uint64_t entry) {
    const Subpages pages(guest, table, entry);
    for (std::uint64_t at = 0; at < pages.count; ++at) {
        [[maybe_unused]] const auto old = table.exchange_there(pages.first + at, {});
    }
}

// Stores an entry in all hardware tables, then in the guest's. The hardware table in which it fails
// has its entry cleared; those before it have the new one.
std::int64_t put(const Caller& caller, const Registered& registered, GuestTable& guest,
                 std::uint64_t entry, std::uint64_t value, std::optional<std::uint64_t> address) {
    for (const TableLink& link : guest.links()) {
        const std::int64_t answer = address ? map(caller, registered, guest, *link.table, entry,
                                                  *address, Tce::of(value).rights)
                                            : unmap(registered, guest, *link.table, entry);
        if (answer != uapi::H_SUCCESS) {
            clear(guest, *link.table, entry);
            return answer;
        }
    }
    guest.put(entry - guest.window().offset, value);
    return uapi::H_SUCCESS;
}

}  // namespace

bool read_list(const GuestMemory& memory, mm::AddressSpace& mm, std::uint64_t list,
               std::span<std::uint64_t> entries) {
    const auto address = memory.user_address(list);
    if (!address || !mm.copy_from_user(entries.data(), *address, entries.size_bytes())) {
        return false;
    }
    for (std::uint64_t& entry : entries) {
        entry = std::byteswap(entry);
    }
    return true;
}

Result<> GuestTables::check_free(std::uint64_t liobn) const {
    if (find(liobn) != nullptr || find_linked(liobn) != nullptr) {
        return refuse(EBUSY, "there is a table for bus {:x}", kCreate, liobn);
    }
    return {};
}

Result<> GuestTables::add(GuestTable& table) {
    TRY(check_free(table.liobn()));
    tables_.insert(tables_.begin(), &table);
    return {};
}

Result<> GuestTables::add(const LinkedTable& table) {
    TRY(check_free(table.liobn));
    linked_.insert(linked_.begin(), &table);
    return {};
}

const LinkedTable* GuestTables::find_linked(std::uint64_t liobn) const {
    const auto found =
        std::find_if(linked_.begin(), linked_.end(),
                     [liobn](const LinkedTable* table) { return table->liobn == liobn; });
    return found == linked_.end() ? nullptr : *found;
}

std::int64_t h_put_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                       std::uint64_t value) {
    GuestTable* const table = caller.tables.find(liobn);
    if (table == nullptr) {
        return uapi::H_TOO_HARD;
    }
    if (!in_window(caller, *table, ioba, 1)) {
        return uapi::H_PARAMETER;
    }
    if (is_user_spaces(*table)) {
        return uapi::H_TOO_HARD;
    }
    Registered registered;
    open_for(registered, caller, *table);
    std::optional<std::uint64_t> address;
    if (Tce::of(value).rights != 0) {
        address = valid_address(caller, registered, *table, Tce::of(value));
        if (!address) {
            return uapi::H_TOO_HARD;
        }
    }
    return put(caller, registered, *table, ioba >> table->page_shift(), value, address);
}

std::int64_t h_put_tce_indirect(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                                std::uint64_t list, std::uint64_t pages) {
    GuestTable* const table = caller.tables.find(liobn);
    if (table == nullptr) {
        return uapi::H_TOO_HARD;
    }
    if (pages > kMostEntries || !is_aligned(list, kListAlignment) ||
        !in_window(caller, *table, ioba, pages)) {
        return uapi::H_PARAMETER;
    }
    std::uint64_t values[kMostEntries];
    if (!read_list(caller.memory, caller.mm, list, {values, pages}) || is_user_spaces(*table)) {
        return uapi::H_TOO_HARD;
    }
    Registered registered;
    open_for(registered, caller, *table);
    for (std::uint64_t at = 0; at < pages; ++at) {
        if (Tce::of(values[at]).rights != 0 &&
            !valid_address(caller, registered, *table, Tce::of(values[at]))) {
            return uapi::H_TOO_HARD;
        }
    }
    const std::uint64_t first = ioba >> table->page_shift();
    for (std::uint64_t at = 0; at < pages; ++at) {
        // An entry without rights is mapped as well, and needs memory behind it.
        auto address = caller.memory.user_address(Tce::of(values[at]).address);
        if (!address) {
            return uapi::H_PARAMETER;
        }
        if (Tce::of(values[at]).rights == 0 && caller.indirect_clears) {
            address = std::nullopt;
        }
        const std::int64_t answer =
            put(caller, registered, *table, first + at, values[at], address);
        if (answer != uapi::H_SUCCESS) {
            return answer;
        }
    }
    return uapi::H_SUCCESS;
}

std::int64_t h_stuff_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                         std::uint64_t value, std::uint64_t pages) {
    GuestTable* const table = caller.tables.find(liobn);
    if (table == nullptr) {
        return uapi::H_TOO_HARD;
    }
    if (!in_window(caller, *table, ioba, pages) || Tce::of(value).rights != 0) {
        return uapi::H_PARAMETER;
    }
    if (is_user_spaces(*table)) {
        return uapi::H_TOO_HARD;
    }
    const std::uint64_t first = ioba >> table->page_shift();
    Registered registered;
    open_for(registered, caller, *table);
    for (const TableLink& link : table->links()) {
        for (std::uint64_t at = 0; at < pages;) {
            const std::uint64_t empty = entries_without_table(*table, *link.table, first + at);
            if (empty != 0) {
                at += empty;
                continue;
            }
            const std::int64_t answer = unmap(registered, *table, *link.table, first + at);
            if (answer != uapi::H_SUCCESS) {
                return answer;
            }
            ++at;
        }
    }
    table->fill(first - table->window().offset, pages, value);
    return uapi::H_SUCCESS;
}

std::int64_t h_get_tce(const Caller& caller, std::uint64_t liobn, std::uint64_t ioba,
                       std::uint64_t& tce) {
    const GuestTable* const table = caller.tables.find(liobn);
    if (table == nullptr) {
        return uapi::H_TOO_HARD;
    }
    if (!in_window(caller, *table, ioba, 1)) {
        return uapi::H_PARAMETER;
    }
    tce = table->get((ioba >> table->page_shift()) - table->window().offset);
    return uapi::H_SUCCESS;
}

}  // namespace kvmiommu::spapr
