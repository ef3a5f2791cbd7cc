// SPDX-License-Identifier: MIT
//
// The RAM of a machine: a sparse memfd, mapped once as the kernel's direct map. References and pins
// are counted by ranges, so that a gigabyte costs as much as a page. (The kernel: include/linux/
// mm_types.h: struct page; mm/page_alloc.c)

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "base/base.h"
#include "mm/frame_pool.h"
#include "mm/grace_period.h"
#include "mm/host_mappings.h"
#include "mm/lock_order.h"

namespace kvmiommu::mm {

inline constexpr unsigned kFrameShift = 12;
inline constexpr std::uint64_t kFrameSize = std::uint64_t{1} << kFrameShift;
/// The default start of RAM: above everything that a PC or a POWER machine has at low addresses.
inline constexpr std::uint64_t kRamStart = std::uint64_t{1} << 32;
/// Sanitizers and valgrind refuse to map more in one piece.
inline constexpr std::uint64_t kMostRam = std::uint64_t{32} << 30;
/// An IOMMU may have no more output addresses than this: an SMMU of QEMU has 44 bits.
inline constexpr std::uint64_t kLastRamStart = std::uint64_t{8} << 40;

using PhysAddr = std::uint64_t;

/// Consecutive frames in the RAM file. `count` is not 0.
struct SlotRun {
    std::uint64_t slot;
    std::uint64_t count;
};

/// Physically contiguous bytes, as a device sees them. `bytes` is not 0.
struct PhysicalRun {
    PhysAddr address;
    std::uint64_t bytes;
};

class PhysicalMemory;

/// Blocks of 2^order frames each, of tables that are freed together.
struct FrameChain {
    unsigned order = 0;
    PhysAddr first = 0;
    PhysAddr last = 0;
    std::uint64_t count = 0;
};

/// The host address of each byte of RAM that is not fragmented. It fits into registers on a walk.
class LinearMap {
  public:
    bool is_ram(PhysAddr address) const { return address - first_ < bytes_; }
    /// The host address of address + offset in RAM. The offset is added first, because a walk knows
    /// it before the address.
    std::byte* at(PhysAddr address, std::uint64_t offset = 0) const {
        return not_null(reinterpret_cast<std::byte*>(start_ + offset) + address);
    }
    /// The same, or null if it is not in RAM.
    std::byte* find(PhysAddr address, std::uint64_t offset) const {
        const PhysAddr place = address + offset;
        return is_ram(place) ? not_null(reinterpret_cast<std::byte*>(start_) + place) : nullptr;
    }

  private:
    friend class FrameMap;
    LinearMap(std::uintptr_t start, PhysAddr first, std::uint64_t bytes)
        : start_(start), first_(first), bytes_(bytes) {}
    // Spares the callers' checks for null.
    static std::byte* not_null(std::byte* place) {
        if (place == nullptr) {
            __builtin_unreachable();
        }
        return place;
    }

    std::uintptr_t start_;  // the host address of physical address 0
    PhysAddr first_;
    std::uint64_t bytes_;
};

/// The same for any RAM.
class FrameMap {
  public:
    bool is_ram(PhysAddr address) const { return linear_.is_ram(address); }
    /// Valid up to the end of its frame, or of frames that were allocated together.
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
    /// Of RAM that is_linear(). Copied member by member, because a copy as a whole uses the stack.
    LinearMap linear() const { return {linear_.start_, linear_.first_, linear_.bytes_}; }

  private:
    friend class PhysicalMemory;
    FrameMap(std::uintptr_t start, PhysAddr first, std::uint64_t bytes, PhysicalMemory* fragmented)
        : linear_(start, first, bytes), fragmented_(fragmented) {}
    // Static, so that the compiler can keep a FrameMap in registers.
    static std::byte* fragmented_at(PhysicalMemory& memory, PhysAddr address);

    LinearMap linear_;
    PhysicalMemory* fragmented_;  // null: linear
};

class PhysicalMemory {
  public:
    /// RAM of `bytes` bytes. `fragment` is the longest physically contiguous block, or 0 for no
    /// limit. `start` is its first address, not 0, which iova_to_phys() returns for "not mapped".
    /// EINVAL `start` is 0, above 8 TiB or not a multiple of 1 GiB
    /// EINVAL `bytes` is 0, above 32 GiB or not a multiple of 64 KiB
    /// EINVAL `fragment` is not a power of two from 4 KiB up that divides `bytes`
    /// and the errno of the host's memfd_create() or ftruncate()
    /// and what HostMapping::of_file() says
    static Result<std::unique_ptr<PhysicalMemory>> create(std::uint64_t bytes,
                                                          std::uint64_t fragment,
                                                          PhysAddr start = kRamStart);
    PhysicalMemory(const PhysicalMemory&) = delete;
    PhysicalMemory& operator=(const PhysicalMemory&) = delete;

    std::uint64_t bytes() const { return frames_ << kFrameShift; }
    /// The longest physically contiguous block in bytes; 0 means no limit.
    std::uint64_t fragment() const { return fragment_; }

    // --- frames and their references; only this folder uses slots ---

    /// Zeroed frames with one reference each, in one run that is aligned to `alignment` frames (a
    /// power of two) in the RAM file.
    /// ENOMEM there is no such run
    Result<SlotRun> allocate(std::uint64_t count, std::uint64_t alignment) EXCLUDES(mutex_);
    /// A run of `count` frames or, if there is none, of half as many and so on down to `granule`
    /// frames; aligned as its size allows.
    /// ENOMEM there is no run of `granule` frames
    Result<SlotRun> allocate_up_to(std::uint64_t count, std::uint64_t granule) EXCLUDES(mutex_);
    void get(SlotRun run) EXCLUDES(mutex_);
    /// Puts a reference of each frame. Frames without references and pins are freed.
    void put(SlotRun run) EXCLUDES(mutex_);

    int file() const { return file_.get(); }
    std::byte* direct(std::uint64_t slot) { return direct_ + (slot << kFrameShift); }
    /// The physical addresses of a run of slots from its start on, as far as they are contiguous.
    PhysicalRun physical(SlotRun run) const;

    // --- physical addresses, for the other folders ---

    /// 2^order zeroed contiguous frames for a table, aligned to their size. They are never pinned.
    /// They come from pools at the end of RAM, which stay in the cache between uses and do not
    /// fragment the rest.
    /// ENOMEM there are no such frames
    Result<PhysAddr> allocate_frames(unsigned order) EXCLUDES(mutex_);
    void free_frames(PhysAddr block, unsigned order) EXCLUDES(mutex_);
    /// As free_frames() for each of a chain.
    void free_frames(const FrameChain& chain) EXCLUDES(mutex_);
    /// Adds a block that is to be freed to a chain.
    void push(FrameChain& chain, PhysAddr block) {
        links_.set_next(block_at(block), chain.count == 0 ? 0 : block_at(chain.first));
        chain = {chain.order, block, chain.count == 0 ? block : chain.last, chain.count + 1};
    }

    /// Pins the frames of [run.address, run.address + run.bytes) until unpin(), of any parts.
    void pin(PhysicalRun run) EXCLUDES(mutex_);
    void unpin(PhysicalRun run) EXCLUDES(mutex_);
    std::uint32_t pins(PhysAddr address) const EXCLUDES(mutex_);
    /// Does the frame of an address in RAM have one pin and no reference?
    bool held_by_one_pin(PhysAddr address) const EXCLUDES(mutex_);
    /// Does the frame of an address in RAM have a reference or a pin?
    bool in_use(PhysAddr address) const EXCLUDES(mutex_);

    bool is_ram(PhysAddr address) const { return address - start_ < bytes(); }
    /// Host memory of a physical address in RAM; valid up to the end of its frame.
    std::byte* at(PhysAddr address) { return frame_map().at(address); }
    FrameMap frame_map() {
        return {reinterpret_cast<std::uintptr_t>(direct_) - start_, start_, bytes(),
                fragment_ == 0 ? nullptr : this};
    }
    /// Copies from and to RAM. False: a byte of it is not RAM, and nothing was copied.
    bool read(PhysAddr from, std::span<std::byte> to);
    bool write(PhysAddr to, std::span<const std::byte> from);
    /// The same within one frame, if it is in_use(); it is not freed during the write.
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
    // Now or, while devices access memory, when they have ended.
    void free(std::uint64_t slot, std::uint64_t count) REQUIRES(mutex_);
    void free_now(std::uint64_t slot, std::uint64_t count) REQUIRES(mutex_);
    friend class DmaInFlight;
    // Frees what no access can use any more.
    void free_late() REQUIRES(mutex_);
    bool fill_pool(unsigned order) EXCLUDES(mutex_);
    // Frees the blocks of all pools. False: there were none.
    bool drain_pools() EXCLUDES(mutex_);
    void put_all(std::uint32_t chain, unsigned order) EXCLUDES(mutex_);
    friend class FrameMap;
    void clear(std::uint64_t slot, std::uint64_t count);

    const HostFile file_;
    const HostMapping mapping_;
    std::byte* const direct_;  // its address
    const std::uint64_t frames_;
    const PhysAddr start_;
    const std::uint64_t fragment_;  // bytes; 0: labels are slots
    // The label of fragment i is i * stride_ + 1 modulo fragments_, where stride_ and fragments_
    // have no common divisor: the map can be inverted, and neighbours in the file are not
    // physically contiguous. The 1 makes two fragments change places.
    std::uint64_t fragments_ = 1;
    std::uint64_t stride_ = 1;
    std::uint64_t inverse_stride_ = 1;
    std::uint64_t inverse_shift_ = 0;

    mutable Mutex mutex_{lock_order::kPhysicalMemory};
    std::map<std::uint64_t, std::uint64_t> free_ GUARDED_BY(mutex_);  // slot to count
    RangeCounts references_ GUARDED_BY(mutex_);
    RangeCounts pins_ GUARDED_BY(mutex_);

    GracePeriod<SlotRun> dma_;  // its frames: guarded by mutex_

    FrameLinks links_;
    FramePools pools_;  // of blocks below 2^kOrders frames
};

}  // namespace kvmiommu::mm
