// SPDX-License-Identifier: MIT

#include "mm/physical_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/wide.h"
#include "mm/shared_bytes.h"

namespace kvmiommu::mm {

namespace {

constexpr Source kSource{"kvmiommu: mm/physical_memory.h"};

// Runs up to this length are cleared by writing zeros. Longer ones are punched out of the file, and
// read as zeros then.
constexpr std::uint64_t kClearByWriting = 16;

// Blocks that the pool of single frames is filled with.
constexpr std::uint64_t kPoolFill = 64;

constexpr std::uint64_t kLargestAlignment = std::uint64_t{1} << (30 - kFrameShift);

// Blocks that are aligned in the file are aligned in physical addresses.
constexpr std::uint64_t kStartAlignment = std::uint64_t{1} << 30;

// x with a * x = 1 modulo n, for a and n without a common divisor.
std::uint64_t inverse(std::uint64_t a, std::uint64_t n) {
    std::int64_t previous = 0;
    std::int64_t current = 1;
    std::int64_t high = static_cast<std::int64_t>(n);
    std::int64_t low = static_cast<std::int64_t>(a % n);
    while (low > 1) {
        const std::int64_t quotient = high / low;
        high = std::exchange(low, high - quotient * low);
        previous = std::exchange(current, previous - quotient * current);
    }
    return static_cast<std::uint64_t>(current < 0 ? current + static_cast<std::int64_t>(n)
                                                  : current);
}

}  // namespace

Result<std::unique_ptr<PhysicalMemory>> PhysicalMemory::create(std::uint64_t bytes,
                                                               std::uint64_t fragment,
                                                               PhysAddr start) {
    if (start == 0 || start > kLastRamStart || !is_aligned(start, kStartAlignment)) {
        return refuse(EINVAL, "RAM at {:x}: must start at a multiple of {:x} up to {:x}, not at 0",
                      kSource, start, kStartAlignment, kLastRamStart);
    }
    if (bytes == 0 || bytes > kMostRam || !is_aligned(bytes, 64 << 10)) {
        return refuse(EINVAL, "RAM of {:x} bytes: must be a multiple of 64 KiB up to {:x}", kSource,
                      bytes, kMostRam);
    }
    if (fragment != 0 && (!is_power_of_two(fragment) || fragment < kFrameSize || fragment > bytes ||
                          bytes % fragment != 0)) {
        return refuse(EINVAL,
                      "fragments of {:x} bytes: must be a power of two from 4 KiB up that divides "
                      "the RAM of {:x} bytes",
                      kSource, fragment, bytes);
    }
    HostFile file(memfd_create("kvmiommu-ram", MFD_CLOEXEC));
    if (file.get() < 0) {
        return refuse(errno, "the host gives no file for the machine's RAM", kSource);
    }
    if (ftruncate(file.get(), static_cast<off_t>(bytes)) < 0) {
        return refuse(errno, "the host gives no room for RAM of {:x} bytes", kSource, bytes);
    }
    HostMapping mapping = TRY(HostMapping::of_file(file, bytes));
    return std::unique_ptr<PhysicalMemory>(new PhysicalMemory(
        std::move(file), std::move(mapping), bytes >> kFrameShift, fragment, start));
}

PhysicalMemory::PhysicalMemory(HostFile file, HostMapping mapping, std::uint64_t frames,
                               std::uint64_t fragment, PhysAddr start)
    : file_(std::move(file)),
      mapping_(std::move(mapping)),
      direct_(mapping_.base()),
      frames_(frames),
      start_(start),
      fragment_(fragment),
      links_(frames) {
    free_.emplace(0, frames);
    if (fragment_ != 0) {
        fragments_ = bytes() / fragment_;
        stride_ = fragments_ * 5 / 8 + 1;
        while (std::gcd(stride_, fragments_) != 1) {
            ++stride_;
        }
        inverse_stride_ = fragments_ == 1 ? 0 : inverse(stride_, fragments_);
        inverse_shift_ = (fragments_ - 1) * inverse_stride_ % fragments_;
    }
}

std::uint64_t PhysicalMemory::label_of(std::uint64_t slot) const {
    if (fragment_ == 0) {
        return slot;
    }
    const std::uint64_t frames = fragment_ >> kFrameShift;
    return (slot / frames * stride_ + 1) % fragments_ * frames + slot % frames;
}

std::byte* FrameMap::fragmented_at(PhysicalMemory& memory, PhysAddr address) {
    return memory.direct(memory.slot_of(address)) + (address & (kFrameSize - 1));
}

std::uint64_t PhysicalMemory::slot_of(PhysAddr address) const {
    assert(is_ram(address));
    const std::uint64_t label = (address - start_) >> kFrameShift;
    if (fragment_ == 0) {
        return label;
    }
    const std::uint64_t frames = fragment_ >> kFrameShift;
    const std::uint64_t fragment = (label / frames * inverse_stride_ + inverse_shift_) % fragments_;
    return fragment * frames + label % frames;
}

PhysicalRun PhysicalMemory::physical(SlotRun run) const {
    std::uint64_t count = run.count;
    if (fragment_ != 0) {
        const std::uint64_t frames = fragment_ >> kFrameShift;
        count = std::min(count, frames - run.slot % frames);
    }
    return {start_ + (label_of(run.slot) << kFrameShift), count << kFrameShift};
}

// The slots under a run of physical addresses; whole frames, both ends included.
template <class Visit>
void PhysicalMemory::each_slot_run(PhysicalRun run, Visit&& visit) const {
    const std::uint64_t fragment = fragment_ == 0 ? bytes() : fragment_;
    PhysAddr at = align_down(run.address, kFrameSize);
    const PhysAddr end = align_up(run.address + run.bytes, kFrameSize);
    while (at < end) {
        const PhysAddr border = start_ + (at - start_) / fragment * fragment + fragment;
        const PhysAddr stop = std::min(end, border);
        visit(slot_of(at), (stop - at) >> kFrameShift);
        at = stop;
    }
}

std::optional<SlotRun> PhysicalMemory::take(std::uint64_t count, std::uint64_t alignment) {
    for (auto at = free_.begin(); at != free_.end(); ++at) {
        const auto [start, length] = *at;
        const std::uint64_t slot = align_up(start, alignment);
        if (slot + count > start + length) {
            continue;
        }
        free_.erase(at);
        if (slot > start) {
            free_.emplace(start, slot - start);
        }
        if (slot + count < start + length) {
            free_.emplace(slot + count, start + length - slot - count);
        }
        references_.add(slot, count);
        return SlotRun{slot, count};
    }
    return std::nullopt;
}

std::optional<SlotRun> PhysicalMemory::take_last(std::uint64_t count, std::uint64_t alignment) {
    for (auto at = free_.end(); at != free_.begin();) {
        --at;
        const auto [start, length] = *at;
        const std::uint64_t end = start + length;
        if (length < count || align_down(end - count, alignment) < start) {
            continue;
        }
        const std::uint64_t slot = align_down(end - count, alignment);
        if (slot == start) {
            free_.erase(at);
        } else {
            at->second = slot - start;
        }
        if (slot + count < end) {
            free_.emplace(slot + count, end - slot - count);
        }
        references_.add(slot, count);
        return SlotRun{slot, count};
    }
    return std::nullopt;
}

Result<SlotRun> PhysicalMemory::allocate(std::uint64_t count, std::uint64_t alignment) {
    do {
        const Lock lock(mutex_);
        if (const auto run = take(count, alignment)) {
            return *run;
        }
    } while (drain_pools());
    return refuse(ENOMEM, "no {} free frames in one run", kSource, count);
}

Result<SlotRun> PhysicalMemory::allocate_up_to(std::uint64_t count, std::uint64_t granule) {
    assert(count != 0 && count % granule == 0);
    do {
        const Lock lock(mutex_);
        for (std::uint64_t wanted = count; wanted != 0; wanted = align_down(wanted / 2, granule)) {
            const std::uint64_t natural = std::min(highest_bit(wanted), kLargestAlignment);
            for (std::uint64_t alignment : {natural, granule}) {
                if (const auto run = take(wanted, std::max(alignment, granule))) {
                    return *run;
                }
            }
        }
    } while (drain_pools());
    return refuse(ENOMEM, "no {} free frames in one run", kSource, granule);
}

void PhysicalMemory::clear(std::uint64_t slot, std::uint64_t count) {
    const std::uint64_t offset = slot << kFrameShift;
    const std::uint64_t size = count << kFrameShift;
    if (count > kClearByWriting &&
        fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(offset), static_cast<off_t>(size)) == 0) {
        return;
    }
    std::memset(direct_ + offset, 0, size);
}

void PhysicalMemory::free(std::uint64_t slot, std::uint64_t count) {
    if (dma_.idle()) [[likely]] {
        free_now(slot, count);
        return;
    }
    dma_.add({slot, count});
    // The last access may have ended before it could see that.
    free_late();
}

void PhysicalMemory::free_late() {
    dma_.advance([this](const SlotRun& run) {
        mutex_.assert_held();
        free_now(run.slot, run.count);
    });
}

void PhysicalMemory::free_now(std::uint64_t slot, std::uint64_t count) {
    clear(slot, count);
    auto after = free_.lower_bound(slot);
    if (after != free_.begin()) {
        auto before = std::prev(after);
        if (before->first + before->second == slot) {
            slot = before->first;
            count += before->second;
            free_.erase(before);
        }
    }
    if (after != free_.end() && slot + count == after->first) {
        count += after->second;
        after = free_.erase(after);
    }
    free_.emplace_hint(after, slot, count);
}

void PhysicalMemory::get(SlotRun run) {
    const Lock lock(mutex_);
    references_.add(run.slot, run.count);
}

void PhysicalMemory::put(SlotRun run) {
    const Lock lock(mutex_);
    references_.remove(run.slot, run.count, [this](std::uint64_t slot, std::uint64_t count) {
        mutex_.assert_held();
        pins_.each(slot, count, [this](std::uint64_t first, std::uint64_t pages, unsigned pins) {
            mutex_.assert_held();
            if (pins == 0) {
                free(first, pages);
            }
        });
    });
}

bool PhysicalMemory::fill_pool(unsigned order) {
    const std::uint64_t block = std::uint64_t{1} << order;
    std::optional<SlotRun> run;
    {
        const Lock lock(mutex_);
        if (order == 0) {
            run = take_last(kPoolFill, 1);
        }
        if (!run) {
            run = take_last(block, block);
        }
    }
    if (!run) {
        return false;
    }
    FrameChain chain{.order = order};
    for (std::uint64_t slot = run->slot; slot < run->slot + run->count; slot += block) {
        push(chain, physical({slot, 1}).address);
    }
    free_frames(chain);
    return true;
}

bool PhysicalMemory::drain_pools() {
    bool had_any = false;
    for (unsigned order = 0; order < FramePools::kOrders; ++order) {
        pools_.each(order, [&](FramePool& pool) {
            const std::uint32_t chain = pool.take_all();
            had_any |= chain != 0;
            put_all(chain, order);
        });
    }
    return had_any;
}

void PhysicalMemory::put_all(std::uint32_t chain, unsigned order) {
    while (chain != 0) {
        const PhysAddr block = address_of(chain);
        chain = links_.next(chain);
        put({slot_of(block), std::uint64_t{1} << order});
    }
}

Result<PhysAddr> PhysicalMemory::allocate_frames(unsigned order) {
    const std::uint64_t count = std::uint64_t{1} << order;
    if (fragment_ != 0 && count << kFrameShift > fragment_) {
        return refuse(ENOMEM, "no {} frames in a row: fragments have {:x} bytes", kSource, count,
                      fragment_);
    }
    if (order >= FramePools::kOrders) {
        return physical(TRY(allocate(count, count))).address;
    }
    do {
        if (const std::uint32_t taken = pools_.pop(links_, order); taken != 0) {
            const PhysAddr block = address_of(taken);
            // Word by word: a device may still walk the freed table in these frames.
            wide::fill(reinterpret_cast<std::uint64_t*>(at(block)),
                       (count << kFrameShift) / sizeof(std::uint64_t), 0, 0);
            return block;
        }
    } while (fill_pool(order) || (drain_pools() && fill_pool(order)));
    return refuse(ENOMEM, "no {} free frames in a row", kSource, count);
}

void PhysicalMemory::free_frames(PhysAddr block, unsigned order) {
    if (order >= FramePools::kOrders) {
        put({slot_of(block), std::uint64_t{1} << order});
        return;
    }
    pools_.push(links_, order, block_at(block), block_at(block));
}

void PhysicalMemory::free_frames(const FrameChain& chain) {
    if (chain.count == 0) {
        return;
    }
    if (chain.order >= FramePools::kOrders) {
        put_all(block_at(chain.first), chain.order);
        return;
    }
    pools_.push(links_, chain.order, block_at(chain.first), block_at(chain.last));
}

void PhysicalMemory::pin(PhysicalRun run) {
    const Lock lock(mutex_);
    each_slot_run(run, [this](std::uint64_t slot, std::uint64_t count) {
        mutex_.assert_held();
        pins_.add(slot, count);
    });
}

void PhysicalMemory::unpin(PhysicalRun run) {
    const Lock lock(mutex_);
    each_slot_run(run, [this](std::uint64_t slot, std::uint64_t count) {
        mutex_.assert_held();
        pins_.remove(slot, count, [this](std::uint64_t first, std::uint64_t pages) {
            mutex_.assert_held();
            references_.each(first, pages,
                             [this](std::uint64_t at, std::uint64_t length, unsigned references) {
                                 mutex_.assert_held();
                                 if (references == 0) {
                                     free(at, length);
                                 }
                             });
        });
    });
}

std::uint32_t PhysicalMemory::pins(PhysAddr address) const {
    const Lock lock(mutex_);
    return pins_.count(slot_of(address));
}

bool PhysicalMemory::held_by_one_pin(PhysAddr address) const {
    const std::uint64_t slot = slot_of(address);
    const Lock lock(mutex_);
    return references_.count(slot) == 0 && pins_.count(slot) == 1;
}

bool PhysicalMemory::in_use(PhysAddr address) const {
    const std::uint64_t slot = slot_of(address);
    const Lock lock(mutex_);
    return references_.count(slot) != 0 || pins_.count(slot) != 0;
}

bool PhysicalMemory::read(PhysAddr from, std::span<std::byte> to) {
    if (to.empty()) {
        return true;
    }
    if (!is_ram(from) || !is_ram(from + to.size() - 1)) {
        return false;
    }
    while (!to.empty()) {
        const std::size_t step = std::min(to.size(), kFrameSize - from % kFrameSize);
        copy_shared(to.data(), at(from), step);
        to = to.subspan(step);
        from += step;
    }
    return true;
}

bool PhysicalMemory::write(PhysAddr to, std::span<const std::byte> from) {
    if (from.empty()) {
        return true;
    }
    if (!is_ram(to) || !is_ram(to + from.size() - 1)) {
        return false;
    }
    while (!from.empty()) {
        const std::size_t step = std::min(from.size(), kFrameSize - to % kFrameSize);
        copy_shared(at(to), from.data(), step);
        from = from.subspan(step);
        to += step;
    }
    return true;
}

bool PhysicalMemory::write_if_in_use(PhysAddr to, std::span<const std::byte> from) {
    assert(!from.empty() && to % kFrameSize + from.size() <= kFrameSize);
    if (!is_ram(to)) {
        return false;
    }
    const std::uint64_t slot = slot_of(to);
    const Lock lock(mutex_);
    if (references_.count(slot) != 0 || pins_.count(slot) != 0) {
        copy_shared(at(to), from.data(), from.size());
    }
    return true;
}

std::uint64_t PhysicalMemory::used_frames() const {
    std::uint64_t free = 0;
    for (unsigned order = 0; order < FramePools::kOrders; ++order) {
        pools_.each(order, [&](const FramePool& pool) {
            free += pool.count(links_, frames_ >> order) << order;
        });
    }
    const Lock lock(mutex_);
    for (const auto& [slot, count] : free_) {
        free += count;
    }
    dma_.each([&](const SlotRun& run) { free += run.count; });
    return frames_ - std::min(free, frames_);  // a block that moves meanwhile is counted twice
}

std::uint64_t PhysicalMemory::pinned_frames() const {
    const Lock lock(mutex_);
    return pins_.counted_pages();
}

std::uint64_t PhysicalMemory::total_pins() const {
    const Lock lock(mutex_);
    return pins_.total();
}

}  // namespace kvmiommu::mm
