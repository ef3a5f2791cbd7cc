// SPDX-License-Identifier: MIT

#include "spapr/guest_table.h"

#include <algorithm>
#include <bit>
#include <utility>

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
    std::byte* const place = page(index >> entry_bits_);
    return place == nullptr ? 0 : entry(place, index)->load(std::memory_order_relaxed);
}

std::uint64_t GuestTable::entries_without_page(std::uint64_t index) const {
    if (page(index >> entry_bits_) != nullptr) {
        return 0;
    }
    return (low_mask(entry_bits_) + 1) - (index & low_mask(entry_bits_));
}

void GuestTable::put(std::uint64_t index, std::uint64_t tce) {
    if (index >> entry_bits_ >= count()) [[unlikely]] {
        return;
    }
    std::byte* place = page(index >> entry_bits_);
    if (place == nullptr) [[unlikely]] {
        if (tce == 0) {
            return;
        }
        const auto made = make_page(index >> entry_bits_);
        if (!made) {
            return;
        }
        place = *made;
    }
    entry(place, index)->store(tce, std::memory_order_relaxed);
}

void GuestTable::fill(std::uint64_t index, std::uint64_t count, std::uint64_t tce) {
    const std::uint64_t end = index + std::min(count, entries() - std::min(index, entries()));
    while (index < end) {
        put(index, tce);
        // Without a page none of its entries is looked at: a guest may name a great many.
        const std::uint64_t missing = entries_without_page(index);
        index += std::min(end - index, std::max<std::uint64_t>(missing, 1));
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
