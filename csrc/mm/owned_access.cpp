// SPDX-License-Identifier: MIT
//
// Accesses to an owned address space: copies by the kernel, loads and stores of the process, pins
// and views. Its mappings are changed in owned_address_space.cpp.

#include <sys/mman.h>

#include <cassert>
#include <iterator>

#include "mm/owned_address_space.h"
#include "mm/shared_bytes.h"

namespace kvmiommu::mm {

namespace {

constexpr Source kFault{"mm/filemap.c: filemap_fault"};
constexpr Source kCopyIn{"include/linux/uaccess.h: copy_from_user"};
constexpr Source kCopyOut{"include/linux/uaccess.h: copy_to_user"};
constexpr Source kPin{"mm/gup.c: pin_user_pages_remote"};
constexpr Source kView{"kvmiommu: mm/owned_address_space.h"};

// PROT_WRITE and PROT_EXEC imply reading, as on every machine that is modelled.
bool allows(int protection, Access access) {
    return access == Access::write ? (protection & PROT_WRITE) != 0 : protection != PROT_NONE;
}

// A pin checks VM_READ and VM_WRITE of the mapping, not what the processor implies.
bool allows_pin(int protection, Access access) {
    return (protection & (access == Access::write ? PROT_WRITE : PROT_READ)) != 0;
}

}  // namespace

Result<HeldFrames> OwnedAddressSpace::backing_frames(const Area& area, std::uint64_t start,
                                                     std::uint64_t at, std::uint64_t bytes) {
    if (area.ended) {
        return refuse(EFAULT, "{:x} lies past the end of the file", kFault, at);
    }
    HeldFrames frames = TRY(area.backing->frames(area.where_at(at - start), bytes));
    // A page that is only partly memory cannot be mapped.
    frames.trim(align_down(frames.count(), page_size() >> kFrameShift));
    if (frames.count() == 0) {
        return refuse(EFAULT, "the page at {:x} is not all memory", kFault, at);
    }
    return frames;
}

// Visits the host memory of [address, address + bytes) piece by piece, up to a byte that does not
// allow the access.
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
        HeldFrames held;
        SlotRun run;
        if (!area.backing) [[likely]] {
            run = {area.where_at(page - start), wanted >> kFrameShift};
        } else {
            auto frames = backing_frames(area, start, page, wanted);
            if (!frames) {
                return {done, Signal::bus};
            }
            held = *std::move(frames);
            run = held.run();
        }
        const std::uint64_t step = std::min(left, (run.count << kFrameShift) - (at - page));
        visit(memory().direct(run.slot) + (at - page), step, run);
        done += step;
    }
    return {done, Signal::none};
}

Result<> OwnedAddressSpace::copy_from_user(void* to, std::uint64_t from, std::uint64_t bytes) {
    auto* out = static_cast<std::byte*>(to);
    const Lock lock(mutex_);
    const Reach reach = walk(By::emulator, from, bytes, Access::read,
                             [&](const std::byte* memory, std::uint64_t step, SlotRun) {
                                 copy_shared(out, memory, step);
                                 out += step;
                             });
    if (reach.signal != Signal::none) {
        return refuse(EFAULT, "{} bytes at {:x}: the process cannot read {:x}", kCopyIn, bytes,
                      from, from + reach.bytes);
    }
    return {};
}

Result<> OwnedAddressSpace::copy_to_user(std::uint64_t to, const void* from, std::uint64_t bytes) {
    const auto* in = static_cast<const std::byte*>(from);
    const Lock lock(mutex_);
    const Reach reach = walk(By::emulator, to, bytes, Access::write,
                             [&](std::byte* memory, std::uint64_t step, SlotRun) {
                                 copy_shared(memory, in, step);
                                 in += step;
                             });
    if (reach.signal != Signal::none) {
        return refuse(EFAULT, "{} bytes at {:x}: the process cannot write {:x}", kCopyOut, bytes,
                      to, to + reach.bytes);
    }
    return {};
}

// Called after a walk has ended at `address` with SIGBUS: there is an area that allows the access.
OwnedAddressSpace::Trap OwnedAddressSpace::trap_at(std::uint64_t address, std::uint64_t bytes) {
    const auto& [start, area] = *std::prev(areas_.upper_bound(address));
    if (!area.backing || area.ended) {
        return {};
    }
    const std::uint64_t to_page_end = page_size() - address % page_size();
    return {area.backing, area.where_at(address - start), std::min(bytes, to_page_end)};
}

// Registers count as readable without a load, which could have side effects.
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

// The Backing of a trapped page is called without the lock, because it may call back.
Signal OwnedAddressSpace::peek(void* to, std::uint64_t from, std::uint64_t bytes) {
    auto* out = static_cast<std::byte*>(to);
    for (std::uint64_t done = 0;;) {
        Trap trap;
        {
            const Lock lock(mutex_);
            const Reach reach = walk(By::process, from + done, bytes - done, Access::read,
                                     [&](const std::byte* memory, std::uint64_t step, SlotRun) {
                                         copy_shared(out, memory, step);
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
                                         copy_shared(memory, in, step);
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
    std::vector<HeldFrames> held;  // until they are pinned
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
        const std::uint64_t wanted = std::min(area.last - at + 1, bytes - (at - address));
        SlotRun run{area.where_at(at - start), wanted >> kFrameShift};
        if (area.backing) {
            auto frames = backing_frames(area, start, at, wanted);
            if (!frames) {
                break;
            }
            run = frames->run();
            held.push_back(*std::move(frames));
        }
        const PhysicalRun piece = memory().physical(run);
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
        return refuse(EFAULT, "the page at {:x} cannot be pinned for a {:access}", kPin, address,
                      access == Access::write);
    }
    // Under the lock, so that no unmap frees the pages before.
    memory().pin(whole);
    return whole;
}

Result<std::unique_ptr<View>> OwnedAddressSpace::view(std::uint64_t address, std::uint64_t bytes) {
    if (bytes == 0) {
        return refuse(EINVAL, "a view of no bytes", kView);
    }
    std::unique_ptr<View> view(new View);
    const Lock lock(mutex_);
    const Reach reach = walk(By::process, address, bytes, Access::read,
                             [&](std::byte*, std::uint64_t, SlotRun run) {
                                 view->held_.push_back(HeldFrames::get(memory(), run));
                             });
    if (reach.signal != Signal::none) {
        return refuse(EFAULT, "the process cannot read {:x}", kView, address + reach.bytes);
    }
    std::uint64_t total = 0;
    for (const HeldFrames& frames : view->held_) {
        total += frames.bytes();
    }
    view->mapping_ = TRY(HostMapping::reserve(total));
    TRY(view->charge_.grow(view->held_.size()));
    std::byte* const base = view->mapping_.base();
    view->data_ = base + address % page_size();
    view->bytes_ = bytes;
    auto at = reinterpret_cast<std::uint64_t>(base);
    for (const HeldFrames& frames : view->held_) {
        if (!host_show(at, frames.bytes(), PROT_READ | PROT_WRITE, memory().file(),
                       frames.slot() << kFrameShift)) {
            return refuse(ENOMEM, "the host has no room for more mappings", kView);
        }
        at += frames.bytes();
    }
    return view;
}

}  // namespace kvmiommu::mm
