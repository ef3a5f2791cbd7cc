// SPDX-License-Identifier: MIT

#include "mm/owned_address_space.h"

#include <sys/mman.h>

#include <cassert>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace kvmiommu::mm {

namespace {

constexpr Source kMmap{"mm/mmap.c: do_mmap"};
constexpr Source kMunmap{"mm/mmap.c: do_vmi_munmap"};
constexpr Source kMprotect{"mm/mprotect.c: do_mprotect_pkey"};
constexpr Source kCopyIn{"include/linux/uaccess.h: copy_from_user"};
constexpr Source kCopyOut{"include/linux/uaccess.h: copy_to_user"};
constexpr Source kPin{"mm/gup.c: pin_user_pages_remote"};
constexpr Source kView{"kvmiommu: mm/owned_address_space.h"};

constexpr std::uint64_t kHugeAlignment = 2 << 20;
// sysctl_max_map_count. Linux's is 65530; the host counts what all address spaces of this program
// have against that, with two of its own for each of ours.
constexpr std::size_t kMostAreas = 16384;
constexpr int kProtSem = 8;  // PROT_SEM: known to mprotect(), and without effect
// Nothing of this process lies directly behind a mapping, so that a walk off its end is seen.
constexpr std::uint64_t kGap = 64 << 10;

void* host(std::uint64_t address) {
    return reinterpret_cast<void*>(address);
}

// The host's mmap over addresses that this process reserved cannot fail but for exhaustion of the
// host, and then a half-made mapping would be all that is left.
void host_map(std::uint64_t address, std::uint64_t bytes, int protection, int flags, int file,
              std::uint64_t offset) {
    if (mmap(host(address), bytes, protection, flags | MAP_FIXED, file,
             static_cast<off_t>(offset)) == MAP_FAILED) {
        std::abort();
    }
}

// PROT_WRITE and PROT_EXEC let a process read too, as on every machine that is modelled.
bool allows(int protection, Access access) {
    return access == Access::write ? (protection & PROT_WRITE) != 0 : protection != PROT_NONE;
}

// A pin goes by what the mapping says, not by what the processor would let through.
bool allows_pin(int protection, Access access) {
    return (protection & (access == Access::write ? PROT_WRITE : PROT_READ)) != 0;
}

}  // namespace

View::~View() {
    if (base_ != nullptr) {
        munmap(base_, mapped_);
    }
    for (const SlotRun& run : held_) {
        memory_.put(run);
    }
}

OwnedAddressSpace::OwnedAddressSpace(Census& census, PhysicalMemory& memory,
                                     std::uint64_t page_size)
    : AddressSpace(census, memory, page_size) {
    assert(memory.fragment() == 0 || memory.fragment() >= page_size);
}

OwnedAddressSpace::~OwnedAddressSpace() {
    exit();
}

void OwnedAddressSpace::exit() {
    std::vector<Ref<Backing>> gone;
    const Lock lock(mutex_);
    exited_ = true;
    remove({0, ~std::uint64_t{0}}, By::emulator, gone);
}

Result<> OwnedAddressSpace::room_for_areas(std::size_t more) const {
    if (areas_.size() + more > kMostAreas) {
        return refuse(ENOMEM, "{} mappings and {} more, not more than {} can be", kMmap,
                      areas_.size(), more, kMostAreas);
    }
    return {};
}

bool OwnedAddressSpace::exited() const {
    const Lock lock(mutex_);
    return exited_;
}

Result<> OwnedAddressSpace::check_range(std::uint64_t address, std::uint64_t& length) const {
    if (!is_aligned(address, page_size())) {
        return refuse(EINVAL, "address {:x} is not a multiple of the page size {:x}", kMunmap,
                      address, page_size());
    }
    if (address > kTaskSize || length > kTaskSize - address) {
        return refuse(EINVAL, "{:x} bytes from {:x} reach past the user addresses' end {:x}",
                      kMunmap, length, address, kTaskSize);
    }
    length = align_up(length, page_size());
    return {};
}

OwnedAddressSpace::Areas::const_iterator OwnedAddressSpace::across(std::uint64_t address) const {
    const auto after = areas_.lower_bound(address);
    if (after == areas_.begin()) {
        return areas_.end();
    }
    const auto before = std::prev(after);
    return before->second.last >= address ? before : areas_.end();
}

Result<std::uint64_t> OwnedAddressSpace::reserve(std::uint64_t length, std::uint64_t alignment,
                                                 bool kept) {
    const std::uint64_t bytes = length + alignment + kGap;
    void* const base =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return refuse(ENOMEM, "the host has no room for {:x} bytes of addresses", kMmap, bytes);
    }
    const std::uint64_t address = align_up(reinterpret_cast<std::uint64_t>(base), alignment);
    reservations_.emplace(
        address, Reservation{static_cast<std::byte*>(base), bytes, address + length - 1, 0, kept});
    return address;
}

bool OwnedAddressSpace::reserved(Range range) const {
    const auto after = reservations_.upper_bound(range.start);
    if (after == reservations_.begin()) {
        return false;
    }
    const Reservation& found = std::prev(after)->second;
    return !found.kept && range.last <= found.last;
}

void OwnedAddressSpace::count_mapped(std::uint64_t address, std::uint64_t bytes) {
    std::prev(reservations_.upper_bound(address))->second.mapped += bytes;
}

// A reservation with nothing mapped any more goes back to the host.
void OwnedAddressSpace::count_unmapped(std::uint64_t address, std::uint64_t bytes) {
    const auto found = std::prev(reservations_.upper_bound(address));
    found->second.mapped -= bytes;
    if (found->second.mapped == 0) {
        munmap(found->second.base, found->second.bytes);
        reservations_.erase(found);
    }
}

void OwnedAddressSpace::show(std::uint64_t address, SlotRun run, int protection) {
    const int readable = allows(protection, Access::read) ? PROT_READ : PROT_NONE;
    host_map(address, run.count << kFrameShift, readable | (protection & PROT_WRITE), MAP_SHARED,
             memory().file(), run.slot << kFrameShift);
}

Result<std::uint64_t> OwnedAddressSpace::map(const MapRequest& request) {
    if (request.length == 0) {
        return refuse(EINVAL, "a mapping of no bytes", kMmap);
    }
    const std::uint64_t length = align_up(request.length, page_size());
    if (length == 0 || length > kTaskSize) {
        return refuse(ENOMEM, "{:x} bytes are more than there are user addresses", kMmap,
                      request.length);
    }
    if (!is_aligned(request.offset, page_size())) {
        return refuse(EINVAL, "offset {:x} is not a multiple of the page size {:x}", kMmap,
                      request.offset, page_size());
    }
    if (request.offset + length < request.offset) {
        return refuse(EOVERFLOW, "offset {:x} and {:x} bytes wrap", kMmap, request.offset, length);
    }
    std::uint64_t alignment = request.alignment;
    if (alignment == 0) {
        alignment = length >= kHugeAlignment ? kHugeAlignment : page_size();
    }
    if (!is_power_of_two(alignment) || alignment > kTaskSize / 2) {
        return refuse(EINVAL, "alignment {:x} is not a power of two that addresses can have", kMmap,
                      alignment);
    }
    alignment = std::max(alignment, page_size());

    std::vector<Ref<Backing>> gone;
    const Lock lock(mutex_);
    if (exited_) {
        return refuse(ENOMEM, "the process has exited", kMmap);
    }
    if (!request.kept) {
        TRY(room_for_areas(2));
    }
    std::uint64_t address;
    if (request.fixed) {
        address = *request.fixed;
        if (!is_aligned(address, page_size())) {
            return refuse(EINVAL, "address {:x} is not a multiple of the page size {:x}", kMmap,
                          address, page_size());
        }
        if (!Range::of(address, length) || !reserved(*Range::of(address, length))) {
            return refuse(ENOMEM,
                          "{:x} bytes at {:x} are not within one of this process's mappings: "
                          "MAP_FIXED works over those",
                          kMmap, length, address);
        }
    } else {
        address = TRY(reserve(length, alignment, request.kept));
    }
    const Range range{address, address + length - 1};
    // Counted before what lay there is removed, so that the reservation stays.
    count_mapped(address, length);
    if (request.fixed) {
        remove(range, By::process, gone);
    }
    const Result<> mapped = !request.backing
                                ? map_anonymous(range, request.protection, request.kept)
                            : request.shared ? map_shared(range, request)
                                             : copy_backing(range, request);
    if (!mapped) {
        const std::uint64_t never_mapped = length - remove(range, By::emulator, gone);
        count_unmapped(address, never_mapped);
        return std::unexpected(mapped.error());
    }
    return address;
}

Result<> OwnedAddressSpace::map_anonymous(Range range, int protection, bool kept) {
    const std::uint64_t granule = page_size() >> kFrameShift;
    for (std::uint64_t at = range.start; at <= range.last;) {
        const std::uint64_t wanted = (range.last - at + 1) >> kFrameShift;
        if (!kept) {
            TRY(room_for_areas(1));
        }
        const SlotRun run = TRY(memory().allocate_up_to(wanted, granule));
        const std::uint64_t bytes = run.count << kFrameShift;
        areas_.emplace(at, Area{at + bytes - 1, protection, 7, nullptr, run.slot, kept});
        show(at, run, protection);
        at += bytes;
    }
    return {};
}

Result<> OwnedAddressSpace::map_shared(Range range, const MapRequest& request) {
    // Past the end of the file there is nothing to show: the process gets SIGBUS there.
    for (std::uint64_t at = range.start; at <= range.last;) {
        const auto run =
            request.backing->frames(request.offset + (at - range.start), range.last - at + 1);
        if (!run) {
            if (run.error().error() == ENOMEM) {
                // No area stands for what is already shown.
                host_map(range.start, range.size(), PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
                return std::unexpected(run.error());
            }
            break;
        }
        show(at, *run, request.protection);
        at += run->count << kFrameShift;
    }
    areas_.emplace(range.start, Area{range.last, request.protection, request.most_protection,
                                     request.backing, request.offset});
    return {};
}

// Whether a private mapping shows what is written to the file later is unspecified (POSIX,
// mmap()): here it does not.
Result<> OwnedAddressSpace::copy_backing(Range range, const MapRequest& request) {
    std::uint64_t at = range.start;
    while (at <= range.last) {
        const auto run =
            request.backing->frames(request.offset + (at - range.start), range.last - at + 1);
        if (!run) {
            if (run.error().error() == ENOMEM) {
                return std::unexpected(run.error());
            }
            break;
        }
        const std::uint64_t bytes = run->count << kFrameShift;
        TRY(map_anonymous({at, at + bytes - 1}, request.protection, false));
        for (std::uint64_t copied = 0; copied < bytes;) {
            const auto area = std::prev(areas_.upper_bound(at + copied));
            const std::uint64_t step =
                std::min(area->second.last, at + bytes - 1) - (at + copied) + 1;
            std::memcpy(memory().direct(area->second.where_at(at + copied - area->first)),
                        memory().direct(run->slot) + copied, step);
            copied += step;
        }
        at += bytes;
    }
    if (at <= range.last) {
        areas_.emplace(at, Area{range.last, request.protection, 7, request.backing,
                                request.offset + (at - range.start), false, true});
    }
    return {};
}

void OwnedAddressSpace::split(std::uint64_t address) {
    auto after = areas_.lower_bound(address);
    if (after == areas_.begin()) {
        return;
    }
    auto& [start, area] = *std::prev(after);
    if (area.last < address) {
        return;
    }
    Area upper = area;
    upper.where = area.where_at(address - start);
    area.last = address - 1;
    areas_.emplace_hint(after, address, std::move(upper));
}

std::uint64_t OwnedAddressSpace::remove(Range range, By by, std::vector<Ref<Backing>>& gone) {
    split(range.start);
    if (range.last != ~std::uint64_t{0}) {
        split(range.last + 1);
    }
    std::uint64_t removed = 0;
    auto at = areas_.lower_bound(range.start);
    while (at != areas_.end() && at->first <= range.last) {
        const std::uint64_t start = at->first;
        Area& area = at->second;
        if (area.kept && by == By::process) {
            ++at;
            continue;
        }
        const std::uint64_t bytes = area.last - start + 1;
        host_map(start, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (!area.backing) {
            memory().put({area.where, bytes >> kFrameShift});
        } else {
            gone.push_back(std::move(area.backing));
        }
        at = areas_.erase(at);
        count_unmapped(start, bytes);
        removed += bytes;
    }
    return removed;
}

Result<> OwnedAddressSpace::unmap(std::uint64_t address, std::uint64_t length) {
    TRY(check_range(address, length));
    if (length == 0) {
        return refuse(EINVAL, "an unmap of no bytes", kMunmap);
    }
    std::vector<Ref<Backing>> gone;
    const Lock lock(mutex_);
    // One is left on either side only of an area that the range lies within.
    const auto cut = across(address);
    if (cut != areas_.end() && cut == across(address + length)) {
        TRY(room_for_areas(1));
    }
    remove({address, address + length - 1}, By::process, gone);
    return {};
}

void OwnedAddressSpace::unmap_kept(std::uint64_t address, std::uint64_t length) {
    std::vector<Ref<Backing>> gone;
    const Lock lock(mutex_);
    if (!exited_) {
        remove({address, address + align_up(length, page_size()) - 1}, By::emulator, gone);
    }
}

Result<> OwnedAddressSpace::protect(std::uint64_t address, std::uint64_t length, int protection) {
    if (!is_aligned(address, page_size())) {
        return refuse(EINVAL, "address {:x} is not a multiple of the page size {:x}", kMprotect,
                      address, page_size());
    }
    if (length == 0) {
        return {};
    }
    length = align_up(length, page_size());
    const auto range = Range::of(address, length);
    if (!range) {
        return refuse(ENOMEM, "{:x} bytes from {:x} wrap", kMprotect, length, address);
    }
    if ((protection & ~(PROT_READ | PROT_WRITE | PROT_EXEC | kProtSem)) != 0) {
        return refuse(EINVAL, "protection {:x} has bits that mean nothing", kMprotect, protection);
    }
    protection &= PROT_READ | PROT_WRITE | PROT_EXEC;
    const Lock lock(mutex_);
    TRY(room_for_areas((across(range->start) != areas_.end() ? 1 : 0) +
                       (across(range->last + 1) != areas_.end() ? 1 : 0)));
    split(range->start);
    if (range->last != ~std::uint64_t{0}) {
        split(range->last + 1);
    }
    std::uint64_t next = range->start;
    for (auto at = areas_.lower_bound(range->start);
         at != areas_.end() && at->first <= range->last && at->first == next && !at->second.kept;
         ++at) {
        Area& area = at->second;
        if ((protection & ~area.most_protection) != 0) {
            return refuse(EACCES, "protection {:x} is more than the file was opened for", kMprotect,
                          protection);
        }
        area.protection = protection;
        // Where a file has ended the host shows nothing, and must not begin to.
        for (std::uint64_t page = at->first; page <= area.last;) {
            const auto run = slots(area, at->first, page, area.last - page + 1);
            if (!run) {
                break;
            }
            show(page, *run, protection);
            page += run->count << kFrameShift;
        }
        next = area.last + 1;
    }
    if (next <= range->last) {
        return refuse(ENOMEM, "nothing is mapped at {:x}", kMprotect, next);
    }
    return {};
}

Result<SlotRun> OwnedAddressSpace::slots(const Area& area, std::uint64_t start, std::uint64_t at,
                                         std::uint64_t bytes) {
    const std::uint64_t where = area.where_at(at - start);
    if (area.ended) {
        return refuse(EFAULT, "{:x} lies past the end of the file", kMmap, at);
    }
    if (area.backing) {
        return area.backing->frames(where, bytes);
    }
    return SlotRun{where, bytes >> kFrameShift};
}

// Visits host memory under [address, address + bytes) piece by piece, as far as it allows access.
template <class Visit>
OwnedAddressSpace::Reach OwnedAddressSpace::walk(By by, std::uint64_t address, std::uint64_t bytes,
                                                 Access access, Visit&& visit) {
    std::uint64_t done = 0;
    while (done < bytes) {
        const std::uint64_t at = address + done;
        const auto after = areas_.upper_bound(at);
        if (at < address || after == areas_.begin()) {
            return {done, Signal::segv};
        }
        const auto& [start, area] = *std::prev(after);
        if (area.last < at || !allows(area.protection, access) ||
            (area.kept && by == By::process)) {
            return {done, Signal::segv};
        }
        const std::uint64_t page = align_down(at, page_size());
        const std::uint64_t left = std::min(bytes - done, area.last - at + 1);
        const std::uint64_t wanted = align_up(at - page + left, page_size());
        const auto run = slots(area, start, page, wanted);
        if (!run) {
            return {done, Signal::bus};
        }
        const std::uint64_t step = std::min(left, (run->count << kFrameShift) - (at - page));
        visit(memory().direct(run->slot) + (at - page), step, *run);
        done += step;
    }
    return {done, Signal::none};
}

Result<> OwnedAddressSpace::copy_in(void* to, std::uint64_t from, std::uint64_t bytes) {
    auto* out = static_cast<std::byte*>(to);
    const Lock lock(mutex_);
    const Reach reach = walk(By::emulator, from, bytes, Access::read,
                             [&](const std::byte* memory, std::uint64_t step, SlotRun) {
                                 std::memcpy(out, memory, step);
                                 out += step;
                             });
    if (reach.signal != Signal::none) {
        return refuse(EFAULT, "{} bytes at {:x}: the process cannot read {:x}", kCopyIn, bytes,
                      from, from + reach.bytes);
    }
    return {};
}

Result<> OwnedAddressSpace::copy_out(std::uint64_t to, const void* from, std::uint64_t bytes) {
    const auto* in = static_cast<const std::byte*>(from);
    const Lock lock(mutex_);
    const Reach reach = walk(By::emulator, to, bytes, Access::write,
                             [&](std::byte* memory, std::uint64_t step, SlotRun) {
                                 std::memcpy(memory, in, step);
                                 in += step;
                             });
    if (reach.signal != Signal::none) {
        return refuse(EFAULT, "{} bytes at {:x}: the process cannot write {:x}", kCopyOut, bytes,
                      to, to + reach.bytes);
    }
    return {};
}

// The address has ended a walk with SIGBUS: there is an area, and it allows the access.
OwnedAddressSpace::Trap OwnedAddressSpace::trap_at(std::uint64_t address, std::uint64_t bytes) {
    const auto& [start, area] = *std::prev(areas_.upper_bound(address));
    if (!area.backing || area.ended) {
        return {};
    }
    const std::uint64_t to_page_end = page_size() - address % page_size();
    return {area.backing, area.where_at(address - start), std::min(bytes, to_page_end)};
}

// Registers are taken to be readable: to load from them is to act upon them.
Signal OwnedAddressSpace::readable(std::uint64_t from, std::uint64_t bytes) {
    const Lock lock(mutex_);
    for (std::uint64_t done = 0;;) {
        const Reach reach = walk(By::process, from + done, bytes - done, Access::read,
                                 [](const std::byte*, std::uint64_t, SlotRun) {});
        done += reach.bytes;
        if (reach.signal != Signal::bus) {
            return reach.signal;
        }
        const Trap trap = trap_at(from + done, bytes - done);
        if (!trap.backing || !trap.backing->trapped(trap.offset)) {
            return Signal::bus;
        }
        done += trap.bytes;
    }
}

// Whatever lies behind a trapped page is asked without the lock, so that it may call back.
Signal OwnedAddressSpace::peek(void* to, std::uint64_t from, std::uint64_t bytes) {
    auto* out = static_cast<std::byte*>(to);
    for (std::uint64_t done = 0;;) {
        Trap trap;
        {
            const Lock lock(mutex_);
            const Reach reach = walk(By::process, from + done, bytes - done, Access::read,
                                     [&](const std::byte* memory, std::uint64_t step, SlotRun) {
                                         std::memcpy(out, memory, step);
                                         out += step;
                                     });
            done += reach.bytes;
            if (reach.signal != Signal::bus) {
                return reach.signal;
            }
            trap = trap_at(from + done, bytes - done);
        }
        if (!trap.backing || !trap.backing->load(trap.offset, {out, trap.bytes})) {
            return Signal::bus;
        }
        out += trap.bytes;
        done += trap.bytes;
    }
}

Signal OwnedAddressSpace::poke(std::uint64_t to, const void* from, std::uint64_t bytes) {
    const auto* in = static_cast<const std::byte*>(from);
    for (std::uint64_t done = 0;;) {
        Trap trap;
        {
            const Lock lock(mutex_);
            const Reach reach = walk(By::process, to + done, bytes - done, Access::write,
                                     [&](std::byte* memory, std::uint64_t step, SlotRun) {
                                         std::memcpy(memory, in, step);
                                         in += step;
                                     });
            done += reach.bytes;
            if (reach.signal != Signal::bus) {
                return reach.signal;
            }
            trap = trap_at(to + done, bytes - done);
        }
        if (!trap.backing || !trap.backing->store(trap.offset, {in, trap.bytes})) {
            return Signal::bus;
        }
        in += trap.bytes;
        done += trap.bytes;
    }
}

Result<PhysicalRun> OwnedAddressSpace::pin(std::uint64_t address, std::uint64_t bytes,
                                           Access access) {
    assert(bytes != 0 && is_aligned(address | bytes, page_size()));
    const Lock lock(mutex_);
    PhysicalRun whole{0, 0};
    std::uint64_t at = address;
    while (at - address < bytes) {
        const auto after = areas_.upper_bound(at);
        if (after == areas_.begin()) {
            break;
        }
        const auto& [start, area] = *std::prev(after);
        if (area.last < at || area.kept || !allows_pin(area.protection, access) ||
            (area.backing && !area.backing->pinnable())) {
            break;
        }
        const auto run =
            slots(area, start, at, std::min(area.last - at + 1, bytes - (at - address)));
        if (!run) {
            break;
        }
        const PhysicalRun piece = memory().physical(*run);
        if (whole.bytes != 0 && whole.address + whole.bytes != piece.address) {
            break;
        }
        if (whole.bytes == 0) {
            whole.address = piece.address;
        }
        whole.bytes += piece.bytes;
        at += piece.bytes;
    }
    if (whole.bytes == 0) {
        return refuse(EFAULT, "the page at {:x} cannot be pinned for {}", kPin, address,
                      access == Access::write);
    }
    // Still under the lock: an unmap in between would free what is to be pinned.
    memory().pin(whole);
    return whole;
}

Result<std::unique_ptr<View>> OwnedAddressSpace::view(std::uint64_t address, std::uint64_t bytes) {
    if (bytes == 0) {
        return refuse(EINVAL, "a view of no bytes", kView);
    }
    std::unique_ptr<View> view(new View(memory()));
    const Lock lock(mutex_);
    std::vector<SlotRun> runs;
    const Reach reach = walk(By::process, address, bytes, Access::read,
                             [&](std::byte*, std::uint64_t, SlotRun run) { runs.push_back(run); });
    if (reach.signal != Signal::none) {
        return refuse(EFAULT, "the process cannot read {:x}", kView, address + reach.bytes);
    }
    std::uint64_t total = 0;
    for (const SlotRun& run : runs) {
        memory().get(run);
        view->held_.push_back(run);
        total += run.count << kFrameShift;
    }
    void* const base =
        mmap(nullptr, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return refuse(ENOMEM, "the host has no room for {:x} bytes of addresses", kView, total);
    }
    view->base_ = static_cast<std::byte*>(base);
    view->mapped_ = total;
    view->data_ = view->base_ + address % page_size();
    view->bytes_ = bytes;
    std::uint64_t at = reinterpret_cast<std::uint64_t>(base);
    for (const SlotRun& run : runs) {
        host_map(at, run.count << kFrameShift, PROT_READ | PROT_WRITE, MAP_SHARED, memory().file(),
                 run.slot << kFrameShift);
        at += run.count << kFrameShift;
    }
    return view;
}

std::uint64_t OwnedAddressSpace::mapped_bytes() const {
    const Lock lock(mutex_);
    std::uint64_t bytes = 0;
    for (const auto& [start, area] : areas_) {
        bytes += area.kept ? 0 : area.last - start + 1;
    }
    return bytes;
}

}  // namespace kvmiommu::mm
