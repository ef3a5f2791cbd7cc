// SPDX-License-Identifier: MIT
//
// The RAM of a machine: a sparse file in memory, mapped once as the kernel's direct map. Frames
// are counted in ranges, so that a gigabyte costs what a page costs.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "base/base.h"
#include "mm/frame_pool.h"
#include "mm/host_mappings.h"
#include "mm/lock_order.h"

namespace kvmiommu::mm {

inline constexpr unsigned kFrameShift = 12;
inline constexpr std::uint64_t kFrameSize = std::uint64_t{1} << kFrameShift;
/// Where RAM starts unless somebody says otherwise: above everything that a PC or a POWER machine
/// keeps at low addresses.
inline constexpr std::uint64_t kRamStart = std::uint64_t{1} << 32;
/// Sanitizers and valgrind refuse to map more in one piece.
inline constexpr std::uint64_t kMostRam = std::uint64_t{32} << 30;
/// Beyond are addresses that not every IOMMU can put out: an SMMU of QEMU's has 44 bits.
inline constexpr std::uint64_t kLastRamStart = std::uint64_t{8} << 40;

using PhysAddr = std::uint64_t;

/// Frames that follow each other in the RAM file. `count` is not 0.
struct SlotRun {
    std::uint64_t slot;
    std::uint64_t count;
};

/// Bytes that follow each other as a device sees them. `bytes` is not 0.
struct PhysicalRun {
    PhysAddr address;
    std::uint64_t bytes;
};

class PhysicalMemory;

/// Blocks of 2^order frames each for tables that are to be given back together.
struct FrameChain {
    unsigned order = 0;
    PhysAddr first = 0;
    PhysAddr last = 0;
    std::uint64_t count = 0;
};

/// Where the host has each byte of RAM that is not fragmented: small enough to be held in registers
/// on a walk.
class LinearMap {
  public:
    bool is_ram(PhysAddr address) const { return address - first_ < bytes_; }
    /// Host memory of a physical address in RAM. `offset` bytes on: added first, because on a walk
    /// it is known before the address is.
    std::byte* at(PhysAddr address, std::uint64_t offset = 0) const {
        return not_null(reinterpret_cast<std::byte*>(start_ + offset) + address);
    }
    /// The same, or null when it is not in RAM.
    std::byte* find(PhysAddr address, std::uint64_t offset) const {
        const PhysAddr place = address + offset;
        return is_ram(place) ? not_null(reinterpret_cast<std::byte*>(start_) + place) : nullptr;
    }

  private:
    friend class FrameMap;
    LinearMap(std::uintptr_t start, PhysAddr first, std::uint64_t bytes)
        : start_(start), first_(first), bytes_(bytes) {}
    // Says so to the compiler, which would have every caller look.
    static std::byte* not_null(std::byte* place) {
        if (place == nullptr) {
            __builtin_unreachable();
        }
        return place;
    }

    std::uintptr_t start_;  // what physical address 0 would have
    PhysAddr first_;
    std::uint64_t bytes_;
};

/// The same for any RAM.
class FrameMap {
  public:
    bool is_ram(PhysAddr address) const { return linear_.is_ram(address); }
    /// Good to the end of its frame or of the frames that were allocated in a row.
    std::byte* at(PhysAddr address, std::uint64_t offset = 0) const {
        if (fragmented_ != nullptr) [[unlikely]] {
            return fragmented_at(*fragmented_, address + offset);
        }
        return linear_.at(address, offset);
    }
    std::byte* find(PhysAddr address, std::uint64_t offset) const {
        return is_ram(address + offset) ? at(address, offset) : nullptr;
    }
    bool is_linear() const { return fragmented_ == nullptr; }
    /// Of RAM that is_linear(). Number by number: copied as a whole it would go over the stack.
    LinearMap linear() const { return {linear_.start_, linear_.first_, linear_.bytes_}; }

  private:
    friend class PhysicalMemory;
    FrameMap(std::uintptr_t start, PhysAddr first, std::uint64_t bytes, PhysicalMemory* fragmented)
        : linear_(start, first, bytes), fragmented_(fragmented) {}
    // Takes no FrameMap, or the compiler would keep one in memory for it.
    static std::byte* fragmented_at(PhysicalMemory& memory, PhysAddr address);

    LinearMap linear_;
    PhysicalMemory* fragmented_;  // whom to ask when there is more to it
};

class PhysicalMemory {
  public:
    /// RAM of `bytes` bytes, a multiple of 64 KiB up to 32 GiB. `fragment` is the longest
    /// physically contiguous block, a power of two from 4 KiB up, or 0 for no limit.
    /// `start` is its first address, a multiple of 1 GiB up to 8 TiB and not 0, which
    /// iova_to_phys() gives for "not mapped". EINVAL for other numbers, ENOMEM when the host has no
    /// room.
    static Result<std::unique_ptr<PhysicalMemory>> create(std::uint64_t bytes,
                                                          std::uint64_t fragment,
                                                          PhysAddr start = kRamStart);
    PhysicalMemory(const PhysicalMemory&) = delete;
    PhysicalMemory& operator=(const PhysicalMemory&) = delete;

    std::uint64_t bytes() const { return frames_ << kFrameShift; }
    /// The longest physically contiguous block in bytes; 0 means no limit.
    std::uint64_t fragment() const { return fragment_; }

    // --- frames and their references; slots are for this folder alone ---

    /// Zeroed frames with one reference each, all in one run, aligned to `alignment` frames (a
    /// power of two) in the RAM file. ENOMEM when there is no such run.
    Result<SlotRun> allocate(std::uint64_t count, std::uint64_t alignment) EXCLUDES(mutex_);
    /// A run of `count` frames or, where there is none, of half as many and so on down to `granule`
    /// frames; aligned as well as its size allows. ENOMEM when not even that is there.
    Result<SlotRun> allocate_up_to(std::uint64_t count, std::uint64_t granule) EXCLUDES(mutex_);
    void get(SlotRun run) EXCLUDES(mutex_);
    /// Drops a reference of each frame; those without reference and pin are free again.
    void put(SlotRun run) EXCLUDES(mutex_);

    int file() const { return file_.get(); }
    std::byte* direct(std::uint64_t slot) { return direct_ + (slot << kFrameShift); }
    /// What a device sees of a run of slots from its start on, as far as it is contiguous.
    PhysicalRun physical(SlotRun run) const;

    // --- what everybody else sees: physical addresses ---

    /// 2^order zeroed frames in a row for a table, aligned to their size. They come from pools of
    /// blocks at the end of RAM that stay warm between uses and leave what comes before them in one
    /// piece. Nobody pins such a frame. ENOMEM when there are none.
    Result<PhysAddr> allocate_frames(unsigned order) EXCLUDES(mutex_);
    void free_frames(PhysAddr block, unsigned order) EXCLUDES(mutex_);
    /// As free_frames() for each of a chain.
    void free_frames(const FrameChain& chain) EXCLUDES(mutex_);
    /// Puts a block that is to be freed at the head of a chain.
    void push(FrameChain& chain, PhysAddr block) {
        links_.set_next(block_at(block), chain.count == 0 ? 0 : block_at(chain.first));
        chain = {chain.order, block, chain.count == 0 ? block : chain.last, chain.count + 1};
    }

    /// Keeps the frames under [run.address, run.address + run.bytes) until unpin() of as much.
    void pin(PhysicalRun run) EXCLUDES(mutex_);
    void unpin(PhysicalRun run) EXCLUDES(mutex_);
    std::uint32_t pins(PhysAddr address) const EXCLUDES(mutex_);
    /// Is one pin all that keeps the frame of an address in RAM?
    bool held_by_one_pin(PhysAddr address) const EXCLUDES(mutex_);
    /// Does somebody hold the frame of an address in RAM?
    bool in_use(PhysAddr address) const EXCLUDES(mutex_);

    bool is_ram(PhysAddr address) const { return address - start_ < bytes(); }
    /// Host memory of a physical address in RAM; good to the end of its frame.
    std::byte* at(PhysAddr address) { return frame_map().at(address); }
    FrameMap frame_map() {
        return {reinterpret_cast<std::uintptr_t>(direct_) - start_, start_, bytes(),
                fragment_ == 0 ? nullptr : this};
    }
    /// Copies from and to RAM. False, with nothing copied, when a byte of it is not RAM.
    bool read(PhysAddr from, std::span<std::byte> to);
    bool write(PhysAddr to, std::span<const std::byte> from);
    /// The same within one frame, if somebody holds it; else nothing happens to it. It is not freed
    /// meanwhile.
    bool write_if_in_use(PhysAddr to, std::span<const std::byte> from) EXCLUDES(mutex_);

    // --- figures ---

    /// Frames with a reference or a pin.
    std::uint64_t used_frames() const EXCLUDES(mutex_);
    /// Frames that are pinned, and the sum of their pins.
    std::uint64_t pinned_frames() const EXCLUDES(mutex_);
    std::uint64_t total_pins() const EXCLUDES(mutex_);

  private:
    PhysicalMemory(HostFile file, HostMapping mapping, std::uint64_t frames, std::uint64_t fragment,
                   PhysAddr start);

    std::uint64_t slot_of(PhysAddr address) const;
    std::uint64_t label_of(std::uint64_t slot) const;
    template <class Visit>
    void each_slot_run(PhysicalRun run, Visit&& visit) const;
    std::optional<SlotRun> take(std::uint64_t count, std::uint64_t alignment) REQUIRES(mutex_);
    std::uint32_t block_at(PhysAddr address) const {
        return static_cast<std::uint32_t>((address - start_) >> kFrameShift) + 1;
    }
    PhysAddr address_of(std::uint32_t block) const {
        return start_ + (std::uint64_t{block - 1} << kFrameShift);
    }
    std::optional<SlotRun> take_last(std::uint64_t count, std::uint64_t alignment) REQUIRES(mutex_);
    void free(std::uint64_t slot, std::uint64_t count) REQUIRES(mutex_);
    bool fill_pool(unsigned order) EXCLUDES(mutex_);
    // Gives the frames of all pools back to everybody. False: they had none.
    bool drain_pools() EXCLUDES(mutex_);
    void put_all(std::uint32_t chain, unsigned order) EXCLUDES(mutex_);
    friend class FrameMap;
    void clear(std::uint64_t slot, std::uint64_t count);

    const HostFile file_;
    const HostMapping mapping_;
    std::byte* const direct_;  // where that is
    const std::uint64_t frames_;
    const PhysAddr start_;
    const std::uint64_t fragment_;  // bytes; 0: labels are slots
    // Labels of fragments are their indices times a number without a common divisor, and one more,
    // so that neighbours in the file are no neighbours for a device, and the map can be turned
    // round. The one more is for two fragments, which only then change places.
    std::uint64_t fragments_ = 1;
    std::uint64_t stride_ = 1;
    std::uint64_t inverse_stride_ = 1;
    std::uint64_t inverse_shift_ = 0;

    mutable Mutex mutex_{lock_order::kPhysicalMemory};
    std::map<std::uint64_t, std::uint64_t> free_ GUARDED_BY(mutex_);  // slot to count
    RangeCounts references_ GUARDED_BY(mutex_);
    RangeCounts pins_ GUARDED_BY(mutex_);

    FrameLinks links_;
    FramePools pools_;  // larger blocks than these have are kept in no pool
};

}  // namespace kvmiommu::mm
