// SPDX-License-Identifier: MIT

#include "spapr/proposals/link_2013.h"

#include "uapi/papr.h"

namespace kvmiommu::spapr::y2013 {

namespace {

constexpr std::uint64_t kPageMask = ~std::uint64_t{0xfff};  // IOMMU_PAGE_MASK

void unpin_entry(mm::AddressSpace& mm, Tce entry) {
    unuse_page(mm.memory(), mm.page_size(), entry);
}

}  // namespace

bool is_entry(std::uint64_t value) {
    return (value & ~(kPageMask | Tce::kRights)) == 0;
}

void Resume::drop() {
    while (taken_ != 0) {
        unpin_entry(mm_, Tce::of(entries_[--taken_]));
    }
}

std::int64_t Link::leave(Resume::Stage stage) {
    resume_.stage = stage;
    return uapi::H_TOO_HARD;
}

// (iommu_tce_clear_param_check)
bool Link::in_table(std::uint64_t ioba, std::uint64_t pages) const {
    const std::uint64_t index = (ioba >> table_->page_shift()) - table_->offset();
    return is_aligned(ioba, table_->page_size()) && index <= table_->size() &&
           pages <= table_->size() - index;
}

// (iommu_tce_put_param_check)
bool Link::can_be_put(std::uint64_t ioba, std::uint64_t value) const {
    return is_entry(value) && Tce::of(value).rights != 0 && in_table(ioba, 1);
}

// Takes the page of an entry with rights. (kvmppc_gpa_to_hva_and_get,
// kvmppc_rm_gpa_to_hpa_and_get)
Link::Page Link::take_page(Tce guest) {
    const auto address = machine_.memory.user_address(guest.address);
    if (!address) {
        return Page::absent;
    }
    const std::uint64_t size = machine_.mm.page_size();
    const std::uint64_t start = align_down(*address, size);
    // Real mode needs a dirty page if the device may write; virtual mode does not ask whether the
    // page may be written to.
    const bool writes =
        (guest.rights & uapi::TCE_PCI_WRITE) != 0 && (real() || !machine_.pins_to_read);
    const auto run = machine_.mm.pin(start, size, writes ? mm::Access::write : mm::Access::read);
    if (!run) {
        return Page::absent;
    }
    const Tce entry{run->address + (*address - start), guest.rights};
    if (real() && machine_.faults.fails()) {
        unpin_entry(machine_.mm, entry);
        return Page::not_now;
    }
    resume_.take(entry);
    return Page::taken;
}

void Link::take_out(std::uint64_t page) {
    const auto old = table_->exchange_there(page, {});
    if (old && old->rights != 0) {
        unpin_entry(machine_.mm, *old);
    }
}

// Stores the entries whose pages are taken, all or none. The table holds the pages then: whoever
// clears an entry, here or in the container, unpins its page. (iommu_tce_build)
bool Link::build(std::uint64_t ioba) {
    const std::uint64_t first = ioba >> table_->page_shift();
    std::uint64_t page = first;
    for (const std::uint64_t entry : resume_.entries()) {
        if (!table_->put_if_free(page, Tce::of(entry), machine_.faults)) {
            resume_.put(page - first);
            while (page != first) {
                take_out(--page);
            }
            return false;
        }
        ++page;
    }
    resume_.put(page - first);
    return true;
}

// Clears entries and unpins their pages. Real mode cannot unpin a page that has no other pin, and
// stops before it. (iommu_free_tces)
bool Link::free(std::uint64_t ioba, std::uint64_t pages) {
    std::uint64_t page = ioba >> table_->page_shift();
    for (const std::uint64_t end = page + pages; page < end;) {
        if (const std::uint64_t none = table_->pages_without_table(page); none != 0) {
            page += none;
            continue;
        }
        if (const Tce there = table_->get(page);
            real() && there.rights != 0 &&
            machine_.mm.memory().held_by_one_pin(align_down(there.address, mm::kFrameSize))) {
            return false;
        }
        take_out(page++);
    }
    return true;
}

std::int64_t Link::clear(std::uint64_t ioba, std::uint64_t value, std::uint64_t pages) {
    if (!table_) {
        return uapi::H_RESCINDED;
    }
    if (value != 0 || !in_table(ioba, pages)) {
        return uapi::H_PARAMETER;
    }
    if (!free(ioba, pages)) {
        return real() ? uapi::H_TOO_HARD : uapi::H_HARDWARE;
    }
    return uapi::H_SUCCESS;
}

std::int64_t Link::put(std::uint64_t ioba, std::uint64_t value) {
    if (!table_) {
        return uapi::H_RESCINDED;
    }
    const Tce guest = Tce::of(value);
    if (guest.rights == 0) {
        return clear(ioba, 0, 1);
    }
    // An entry whose page real mode has taken is stored without another check.
    if (resume_.stage != Resume::Stage::put_tce) {
        if (!can_be_put(ioba, value)) {
            return uapi::H_PARAMETER;
        }
        const Page page = take_page(guest);
        if (page == Page::absent && real() && machine_.forgets_pages) {
            return uapi::H_SUCCESS;
        }
        if (page != Page::taken) {
            return real() ? leave(Resume::Stage::get_page) : uapi::H_HARDWARE;
        }
    }
    if (build(ioba)) {
        return uapi::H_SUCCESS;
    }
    if (real()) {
        return leave(Resume::Stage::put_tce);
    }
    resume_.drop();
    return uapi::H_HARDWARE;
}

std::int64_t Link::put_all(std::uint64_t ioba, std::span<const std::uint64_t> values) {
    if (!table_) {
        return uapi::H_RESCINDED;
    }
    const auto fits = [&](std::uint64_t at) {
        return can_be_put(ioba + (at << table_->page_shift()), values[at]);
    };
    // Real mode checks all entries before it takes a page, virtual mode one by one.
    for (std::uint64_t at = 0; real() && at < values.size(); ++at) {
        if (!fits(at)) {
            return uapi::H_PARAMETER;
        }
    }
    while (resume_.taken() < values.size()) {
        const std::uint64_t at = resume_.taken();
        if (!fits(at)) {
            resume_.drop();
            return uapi::H_PARAMETER;
        }
        if (take_page(Tce::of(values[at])) != Page::taken) {
            if (real()) {
                return leave(Resume::Stage::get_page);
            }
            resume_.drop();
            return uapi::H_HARDWARE;
        }
    }
    if (!build(ioba)) {
        resume_.drop();
        return uapi::H_HARDWARE;
    }
    return uapi::H_SUCCESS;
}

}  // namespace kvmiommu::spapr::y2013
