// SPDX-License-Identifier: MIT

#include "spapr/guest_table.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>

#include "base/wide.h"

namespace kvmiommu::spapr {

namespace {

constexpr Source kCreate{"arch/powerpc/kvm/book3s_64_vio.c: kvm_vm_ioctl_create_spapr_tce"};

// The kernel's struct, and a pointer for each page.
constexpr std::uint64_t kDescription = 120;
constexpr std::uint64_t kPointer = 8;
// The limit of kmalloc().
constexpr std::uint64_t kMostDescription = std::uint64_t{16} << 20;

// Eight bytes for each of more entries would wrap.
constexpr std::uint64_t kMostEntries = std::uint64_t{1} << 60;

constexpr unsigned kLeastShift = 12;
constexpr unsigned kMostShift = 34;

}  // namespace

Result<Ref<GuestTable>> GuestTable::create(fs::Task& task, const Ref<GuestTableOwner>& owner,
                                           const Window& window) {
    if (window.size == 0 || window.page_shift < kLeastShift || window.page_shift > kMostShift ||
        window.offset + window.size > ~std::uint64_t{0} >> window.page_shift) {
        return refuse(EINVAL, "{:x} pages of 2^{} bytes from page {:x} on", kCreate, window.size,
                      window.page_shift, window.offset);
    }
    const std::uint64_t page = task.kernel().page_size();
    // The kernel computes with numbers that wrap, and makes a table with fewer pages than entries.
    if (window.size > kMostEntries) {
        return refuse(ENOMEM, "a table of {:x} entries is more than the kernel allocates at once",
                      kCreate, window.size);
    }
    const std::uint64_t pages = align_up(window.size * sizeof(std::uint64_t), page) / page;
    const std::uint64_t description = kDescription + kPointer * pages;
    const std::uint64_t charged = pages + align_up(description, page) / page;
    mm::LockedMemory& locked = owner->mm().locked_vm();
    TRY(locked.charge(charged, task.limit(fs::Resource::memlock) / page,
                      task.capable(fs::Capability::ipc_lock)));
    if (description > kMostDescription || pages == 0 || task.faults().fails()) {
        locked.uncharge(charged);
        return refuse(ENOMEM, "a table of {:x} pages is more than the kernel allocates at once",
                      kCreate, pages);
    }
    return make<GuestTable>(task.kernel(), owner, window, charged);
}

GuestTable::GuestTable(fs::Kernel& kernel, const Ref<GuestTableOwner>& owner, const Window& window,
                       std::uint64_t charged)
    : KernelPages(
          kernel.census(), "kvm-spapr-tce table", kernel.memory(), kernel.page_size(),
          align_up(window.size * sizeof(std::uint64_t), kernel.page_size()) / kernel.page_size()),
      window_(window),
      charged_(charged),
      entry_bits_(
          static_cast<unsigned>(std::countr_zero(kernel.page_size() / sizeof(std::uint64_t)))) {
    owner_ = owner;
}

GuestTable::~GuestTable() {
    owner_->forget(*this);
    owner_->mm().locked_vm().uncharge(charged_);
}

std::uint64_t GuestTable::get(std::uint64_t index) const {
    std::byte* place = page(index >> entry_bits_);
    if (place == nullptr) {
        const Lock lock(mutex_);
        place = page(index >> entry_bits_);
        if (place == nullptr) {
            return filled(index >> entry_bits_);
        }
    }
    return entry(place, index)->load(std::memory_order_relaxed);
}

std::uint64_t GuestTable::entries_without_page(std::uint64_t index) const {
    if (page(index >> entry_bits_) != nullptr) {
        return 0;
    }
    const Lock lock(mutex_);
    if (page(index >> entry_bits_) != nullptr || filled(index >> entry_bits_) != 0) {
        return 0;
    }
    return entries_in_page() - (index & low_mask(entry_bits_));
}

void GuestTable::put(std::uint64_t index, std::uint64_t tce) {
    if (index >> entry_bits_ >= count()) [[unlikely]] {
        return;
    }
    if (std::byte* const place = page(index >> entry_bits_)) [[likely]] {
        entry(place, index)->store(tce, std::memory_order_relaxed);
    } else {
        fill_page(index >> entry_bits_, index & low_mask(entry_bits_), 1, tce);
    }
}

void GuestTable::fill(std::uint64_t index, std::uint64_t count, std::uint64_t tce) {
    count = std::min(count, entries() - std::min(index, entries()));
    if (count == 0) {
        return;
    }
    const std::uint64_t end = index + count;
    const std::uint64_t first_whole = align_up(index, entries_in_page()) >> entry_bits_;
    const std::uint64_t end_whole = end >> entry_bits_;
    if (first_whole > end_whole) {  // a part of one page
        fill_page(end_whole, index & low_mask(entry_bits_), count, tce);
        return;
    }
    if (const std::uint64_t head = (first_whole << entry_bits_) - index; head != 0) {
        fill_page(first_whole - 1, index & low_mask(entry_bits_), head, tce);
    }
    if (first_whole < end_whole) {
        const Lock lock(mutex_);
        set_filled({first_whole, end_whole - 1}, tce);
        for (std::uint64_t at = first_whole; at < end_whole; ++at) {
            if (std::byte* const place = page(at)) {
                wide::fill(reinterpret_cast<std::uint64_t*>(place), entries_in_page(), tce, 0);
            }
        }
    }
    if (const std::uint64_t tail = end & low_mask(entry_bits_); tail != 0) {
        fill_page(end_whole, 0, tail, tce);
    }
}

// Stores a value in entries of one page, which is allocated unless it has that value already.
void GuestTable::fill_page(std::uint64_t index, std::uint64_t first, std::uint64_t count,
                           std::uint64_t tce) {
    std::byte* place = page(index);
    if (place == nullptr) {
        {
            const Lock lock(mutex_);
            if (page(index) == nullptr && filled(index) == tce) {
                return;
            }
        }
        const auto made = make_page(index);
        if (!made) {
            return;
        }
        place = *made;
    }
    wide::fill(reinterpret_cast<std::uint64_t*>(place) + first, count, tce, 0);
}

void GuestTable::begin(std::uint64_t index, std::byte* page) {
    if (const std::uint64_t tce = filled(index); tce != 0) {
        wide::fill(reinterpret_cast<std::uint64_t*>(page), entries_in_page(), tce, 0);
    }
}

// The value that all entries of a page without memory have.
std::uint64_t GuestTable::filled(std::uint64_t page) const {
    const auto behind = filled_.upper_bound(page);
    return behind == filled_.begin() || std::prev(behind)->second.last < page
               ? 0
               : std::prev(behind)->second.tce;
}

void GuestTable::set_filled(Range pages, std::uint64_t tce) {
    auto at = filled_.upper_bound(pages.start);
    if (at != filled_.begin() && std::prev(at)->second.last >= pages.start) {
        --at;
    }
    while (at != filled_.end() && at->first <= pages.last) {
        const auto [start, old] = *at;
        at = filled_.erase(at);
        if (start < pages.start) {
            filled_[start] = {pages.start - 1, old.tce};
        }
        if (old.last > pages.last) {
            filled_[pages.last + 1] = old;
        }
    }
    if (tce != 0) {
        filled_[pages.start] = {pages.last, tce};
    }
}

void GuestTable::link(const Ref<HardwareTable>& table) {
    for (TableLink& link : links_) {
        if (link.table == table) {
            ++link.references;
            return;
        }
    }
    links_.insert(links_.begin(), {table, 1});
}

Ref<HardwareTable> GuestTable::unlink(const HardwareTable& table) {
    const auto found = std::find_if(links_.begin(), links_.end(), [&](const TableLink& link) {
        return link.table.get() == &table;
    });
    if (found == links_.end() || --found->references != 0) {
        return nullptr;
    }
    Ref<HardwareTable> gone = std::move(found->table);
    links_.erase(found);
    return gone;
}

}  // namespace kvmiommu::spapr
