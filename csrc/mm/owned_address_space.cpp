// SPDX-License-Identifier: MIT
//
// What is mapped where. How memory is reached: owned_access.cpp.

#include "mm/owned_address_space.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <iterator>

#include "mm/shared_bytes.h"

namespace kvmiommu::mm {

namespace {

constexpr Source kMmap{"mm/mmap.c: do_mmap"};
constexpr Source kMunmap{"mm/mmap.c: do_vmi_munmap"};
constexpr Source kMprotect{"mm/mprotect.c: do_mprotect_pkey"};

constexpr std::uint64_t kHugeAlignment = 2 << 20;
// sysctl_max_map_count. Linux's is 65530; that of the host is for the whole program.
constexpr std::size_t kMostAreas = 16384;
constexpr int kProtSem = 8;  // PROT_SEM: known to mprotect(), and without effect
// Nothing of this process lies directly behind a mapping, so that a walk off its end is seen.
constexpr std::uint64_t kGap = 64 << 10;

}  // namespace

OwnedAddressSpace::OwnedAddressSpace(Census& census, PhysicalMemory& memory,
                                     std::uint64_t page_size)
    : AddressSpace(census, memory, page_size), shown_(memory) {
    assert(memory.fragment() == 0 || memory.fragment() >= page_size);
}

OwnedAddressSpace::~OwnedAddressSpace() {
    exit();
}

void OwnedAddressSpace::exit() {
    std::vector<Ref<Backing>> gone;
    const Lock lock(mutex_);
    exited_ = true;
    for (auto& [address, reservation] : reservations_) {
        const Range range{address, reservation.last};
        if (reservation.host.unmap()) {
            shown_.forget(range);
        } else {
            shown_.hide_whole(range);
        }
    }
    reservations_.clear();
    for (auto at = areas_.begin(); at != areas_.end();) {
        at = erase(at, gone);
    }
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
    HostMapping host = TRY(HostMapping::reserve(bytes));
    const std::uint64_t address = align_up(reinterpret_cast<std::uint64_t>(host.base()), alignment);
    reservations_.emplace(address, Reservation{std::move(host), address + length - 1, 0, kept});
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

// A reservation without mapped pages is unmapped from the host.
void OwnedAddressSpace::count_unmapped(std::uint64_t address, std::uint64_t bytes) {
    const auto found = std::prev(reservations_.upper_bound(address));
    found->second.mapped -= bytes;
    if (found->second.mapped == 0) {
        reservations_.erase(found);
    }
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
    // Counted before the old mappings are removed, so that the reservation stays.
    count_mapped(address, length);
    if (request.fixed) {
        if (const auto removed = remove(range, gone); !removed) {
            count_unmapped(address, length);
            return std::unexpected(removed.error());
        }
    }
    const Result<> mapped = !request.backing
                                ? map_anonymous(range, request.protection, request.kept)
                            : request.shared ? map_shared(range, request)
                                             : copy_backing(range, request);
    if (!mapped) {
        const std::uint64_t never_mapped = length - remove_whole(range, gone);
        if (never_mapped != 0) {
            count_unmapped(address, never_mapped);
        }
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
        TRY(shown_.show(at, HeldFrames(memory(), run), protection));
        areas_.emplace(at, Area{at + bytes - 1, protection, 7, nullptr, run.slot, kept});
        at += bytes;
    }
    return {};
}

Result<> OwnedAddressSpace::map_shared(Range range, const MapRequest& request) {
    const Area area{range.last, request.protection, request.most_protection, request.backing,
                    request.offset};
    // Past the end of the file nothing is mapped: an access is a SIGBUS.
    for (std::uint64_t at = range.start; at <= range.last;) {
        auto frames = backing_frames(area, range.start, at, range.last - at + 1);
        if (!frames && frames.error().error() != ENOMEM) {
            break;
        }
        const std::uint64_t bytes = frames ? frames->bytes() : 0;
        const Result<> shown = frames ? shown_.show(at, *std::move(frames), request.protection)
                                      : Result<>(std::unexpected(frames.error()));
        if (!shown) {
            // There is no area yet for the frames that are mapped.
            shown_.hide_whole(range);
            return shown;
        }
        at += bytes;
    }
    areas_.emplace(range.start, area);
    return {};
}

// Whether later writes to the file are visible in a private mapping is unspecified (POSIX, mmap()):
// here they are not.
Result<> OwnedAddressSpace::copy_backing(Range range, const MapRequest& request) {
    const Area whole{range.last, request.protection, 7, request.backing, request.offset};
    std::uint64_t at = range.start;
    while (at <= range.last) {
        const auto frames = backing_frames(whole, range.start, at, range.last - at + 1);
        if (!frames) {
            if (frames.error().error() == ENOMEM) {
                return std::unexpected(frames.error());
            }
            break;
        }
        const std::uint64_t bytes = frames->bytes();
        TRY(map_anonymous({at, at + bytes - 1}, request.protection, false));
        for (std::uint64_t copied = 0; copied < bytes;) {
            const auto area = std::prev(areas_.upper_bound(at + copied));
            const std::uint64_t step =
                std::min(area->second.last, at + bytes - 1) - (at + copied) + 1;
            copy_shared(memory().direct(area->second.where_at(at + copied - area->first)),
                        frames->data() + copied, step);
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

OwnedAddressSpace::Areas::iterator OwnedAddressSpace::erase(Areas::iterator area,
                                                            std::vector<Ref<Backing>>& gone) {
    if (area->second.backing) {
        gone.push_back(std::move(area->second.backing));
    }
    return areas_.erase(area);
}

Result<> OwnedAddressSpace::remove(Range range, std::vector<Ref<Backing>>& gone) {
    // Adjacent areas are within one reservation.
    std::vector<Range> parts;
    auto first = areas_.upper_bound(range.start);
    if (first != areas_.begin()) {
        --first;
    }
    for (auto at = first; at != areas_.end() && at->first <= range.last; ++at) {
        const auto part = Range{at->first, at->second.last}.intersection(range);
        if (!part || at->second.kept) {
            continue;
        }
        if (!parts.empty() && parts.back().last + 1 == part->start) {
            parts.back().last = part->last;
        } else {
            parts.push_back(*part);
        }
    }
    TRY(shown_.hide(parts));
    for (const Range& part : parts) {
        split(part.start);
        split(part.last + 1);
        for (auto at = areas_.find(part.start); at != areas_.end() && at->first <= part.last;) {
            at = erase(at, gone);
        }
        count_unmapped(part.start, part.size());
    }
    return {};
}

std::uint64_t OwnedAddressSpace::remove_whole(Range range, std::vector<Ref<Backing>>& gone) {
    std::uint64_t removed = 0;
    for (auto at = areas_.lower_bound(range.start);
         at != areas_.end() && at->first <= range.last;) {
        const Range area{at->first, at->second.last};
        shown_.hide_whole(area);
        at = erase(at, gone);
        count_unmapped(area.start, area.size());
        removed += area.size();
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
    // Only an area that contains the range on both sides is split in two.
    const auto cut = across(address);
    if (cut != areas_.end() && cut == across(address + length)) {
        TRY(room_for_areas(1));
    }
    return remove({address, address + length - 1}, gone);
}

void OwnedAddressSpace::unmap_kept(std::uint64_t address, std::uint64_t length) {
    std::vector<Ref<Backing>> gone;
    const Lock lock(mutex_);
    if (!exited_) {
        remove_whole({address, address + align_up(length, page_size()) - 1}, gone);
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
    std::vector<ShownFrames::Change> changes;
    Result<> ended;
    std::uint64_t next = range->start;
    auto at = areas_.upper_bound(next);
    if (at != areas_.begin()) {
        --at;
    }
    while (next <= range->last && ended) {
        const auto part = at == areas_.end()
                              ? std::nullopt
                              : Range{at->first, at->second.last}.intersection(*range);
        if (part && part->start == next && !at->second.kept) {
            if ((protection & ~at->second.most_protection) != 0) {
                ended = refuse(EACCES, "protection {:x} is more than the file was opened for",
                               kMprotect, protection);
            } else {
                changes.push_back({*part, at->second.protection, protection});
                next = part->last + 1;
                ++at;
            }
        } else {
            ended = refuse(ENOMEM, "nothing is mapped at {:x}", kMprotect, next);
        }
    }
    TRY(shown_.protect(changes));
    for (const ShownFrames::Change& change : changes) {
        split(change.range.start);
        split(change.range.last + 1);
        areas_.find(change.range.start)->second.protection = protection;
    }
    return ended;
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
