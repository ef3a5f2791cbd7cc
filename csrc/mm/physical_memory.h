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

namespace kvmiommu::mm {

inline constexpr unsigned kFrameShift = 12;
inline constexpr std::uint64_t kFrameSize = std::uint64_t{1} << kFrameShift;
/// Where RAM starts: above everything that a PC or a POWER machine keeps at low addresses, so
/// that no frame has physical address 0, which iova_to_phys() gives for "not mapped".
inline constexpr std::uint64_t kRamStart = std::uint64_t{1} << 32;
/// Sanitizers and valgrind refuse to map more in one piece.
inline constexpr std::uint64_t kMostRam = std::uint64_t{32} << 30;

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

class PhysicalMemory {
  public:
    /// RAM of `bytes` bytes, a multiple of 64 KiB up to 32 GiB. `fragment` is the longest
    /// physically contiguous block, a power of two from 4 KiB up, or 0 for no limit.
    /// EINVAL for other numbers, ENOMEM when the host has no room.
    static Result<std::unique_ptr<PhysicalMemory>> create(std::uint64_t bytes,
                                                          std::uint64_t fragment);
    ~PhysicalMemory();
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

    int file() const { return file_; }
    std::byte* direct(std::uint64_t slot) { return direct_ + (slot << kFrameShift); }
    /// What a device sees of a run of slots from its start on, as far as it is contiguous.
    PhysicalRun physical(SlotRun run) const;

    // --- what everybody else sees: physical addresses ---

    /// One zeroed frame for a table. ENOMEM when there is none.
    Result<PhysAddr> allocate_frame() EXCLUDES(mutex_);
    void free_frame(PhysAddr frame) EXCLUDES(mutex_);

    /// Keeps the frames under [run.address, run.address + run.bytes) until unpin() of as much.
    void pin(PhysicalRun run) EXCLUDES(mutex_);
    void unpin(PhysicalRun run) EXCLUDES(mutex_);
    std::uint32_t pins(PhysAddr address) const EXCLUDES(mutex_);

    bool is_ram(PhysAddr address) const {
        return address >= kRamStart && address - kRamStart < bytes();
    }
    /// Host memory of a physical address in RAM; good to the end of its frame.
    std::byte* at(PhysAddr address) {
        return direct(slot_of(address)) + (address & (kFrameSize - 1));
    }
    /// Copies from and to RAM. False, with nothing copied, when a byte of it is not RAM.
    bool read(PhysAddr from, std::span<std::byte> to);
    bool write(PhysAddr to, std::span<const std::byte> from);

    // --- figures ---

    /// Frames with a reference or a pin.
    std::uint64_t used_frames() const EXCLUDES(mutex_);
    /// Frames that are pinned, and the sum of their pins.
    std::uint64_t pinned_frames() const EXCLUDES(mutex_);
    std::uint64_t total_pins() const EXCLUDES(mutex_);

  private:
    PhysicalMemory(int file, std::byte* direct, std::uint64_t frames, std::uint64_t fragment);

    std::uint64_t slot_of(PhysAddr address) const;
    std::uint64_t label_of(std::uint64_t slot) const;
    template <class Visit>
    void each_slot_run(PhysicalRun run, Visit&& visit) const;
    std::optional<SlotRun> take(std::uint64_t count, std::uint64_t alignment) REQUIRES(mutex_);
    void free(std::uint64_t slot, std::uint64_t count) REQUIRES(mutex_);
    void clear(std::uint64_t slot, std::uint64_t count);

    const int file_;
    std::byte* const direct_;
    const std::uint64_t frames_;
    const std::uint64_t fragment_;  // bytes; 0: labels are slots
    // Labels of fragments are their indices times a number without a common divisor, and one more,
    // so that neighbours in the file are no neighbours for a device, and the map can be turned
    // round. The one more is for two fragments, which only then change places.
    std::uint64_t fragments_ = 1;
    std::uint64_t stride_ = 1;
    std::uint64_t inverse_stride_ = 1;
    std::uint64_t inverse_shift_ = 0;

    mutable Mutex mutex_;
    std::map<std::uint64_t, std::uint64_t> free_ GUARDED_BY(mutex_);  // slot to count
    RangeCounts references_ GUARDED_BY(mutex_);
    RangeCounts pins_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::mm
