// SPDX-License-Identifier: MIT
//
// The address space of an emulated process. Its mappings are real mappings of the machine's RAM
// file, so that a user address is a real address, but the kernel's copies never go through them:
// they take the direct map, and no address however bad can make them fault.
//
// A mapping has its memory from the start; Linux would give it page by page. So memory of a
// mapping is contiguous as far as the machine's fragment allows, and mmap() of more than the
// machine has left is ENOMEM (no overcommit).

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "mm/address_space.h"
#include "mm/backing.h"
#include "mm/host_mappings.h"
#include "mm/lock_order.h"
#include "mm/shown_frames.h"

namespace kvmiommu::mm {

/// How an access by the process itself would end.
enum class Signal : std::uint8_t { none, segv, bus };

struct MapRequest {
    std::uint64_t length = 0;     // bytes, rounded up to pages
    int protection = 0;           // PROT_READ | PROT_WRITE | PROT_EXEC
    int most_protection = 7;      // what mprotect() may give it later (VM_MAYREAD and its like)
    bool shared = false;          // MAP_SHARED; a private mapping of a Backing is a copy
    bool kept = false;            // the emulator's own: only the kernel's copies reach it, and it
                                  // stays until unmap_kept() or exit()
    Ref<Backing> backing;         // none: anonymous memory
    std::uint64_t offset = 0;     // into the backing, page aligned
    std::uint64_t alignment = 0;  // of the address, a power of two; 0: a page, or 2 MiB for
                                  // mappings of 2 MiB and more
    std::optional<std::uint64_t> fixed;  // MAP_FIXED: over what is mapped or was unmapped there
};

/// A stretch of a process's memory as the host sees it, good until it is destroyed whatever the
/// process unmaps.
class View {
  public:
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    std::byte* data() const { return data_; }
    std::uint64_t bytes() const { return bytes_; }

  private:
    friend class OwnedAddressSpace;
    View() = default;

    std::vector<HeldFrames> held_;
    HostMapping mapping_;
    HostCharge charge_;  // for the runs in it
    std::byte* data_ = nullptr;
    std::uint64_t bytes_ = 0;
};

class OwnedAddressSpace final : public AddressSpace {
  public:
    /// `page_size` is 4096 or 65536; RAM has no fragments smaller than that.
    OwnedAddressSpace(Census& census, PhysicalMemory& memory, std::uint64_t page_size);
    ~OwnedAddressSpace() override;

    /// mmap(): the address. EINVAL length 0 or an offset that is not page aligned, EOVERFLOW
    /// offset + length wraps, ENOMEM no memory, no addresses, too long, or too many mappings for a
    /// process or for the host. (mm/mmap.c: do_mmap)
    Result<std::uint64_t> map(const MapRequest& request) EXCLUDES(mutex_);
    /// munmap(): EINVAL address not page aligned, length 0, past the end of user addresses; ENOMEM
    /// a mapping would be cut into more than there can be. Holes are no error.
    Result<> unmap(std::uint64_t address, std::uint64_t length) EXCLUDES(mutex_);
    /// Unmaps what was mapped as kept.
    void unmap_kept(std::uint64_t address, std::uint64_t length) EXCLUDES(mutex_);
    /// mprotect(): EINVAL as above; EACCES for what a file was not opened for, ENOMEM when it meets
    /// a hole, both with what lies before it changed; ENOMEM too many mappings.
    Result<> protect(std::uint64_t address, std::uint64_t length, int protection) EXCLUDES(mutex_);

    Result<> copy_in(void* to, std::uint64_t from, std::uint64_t bytes) override EXCLUDES(mutex_);
    Result<> copy_out(std::uint64_t to, const void* from, std::uint64_t bytes) override
        EXCLUDES(mutex_);
    Result<PhysicalRun> pin(std::uint64_t address, std::uint64_t bytes, Access access) override
        EXCLUDES(mutex_);
    void exit() override EXCLUDES(mutex_);
    bool exited() const override EXCLUDES(mutex_);

    /// Loads and stores of the process itself: all bytes, or the signal that it would get. Bytes
    /// before the bad one have been stored.
    Signal readable(std::uint64_t from, std::uint64_t bytes) EXCLUDES(mutex_);
    Signal peek(void* to, std::uint64_t from, std::uint64_t bytes) EXCLUDES(mutex_);
    Signal poke(std::uint64_t to, const void* from, std::uint64_t bytes) EXCLUDES(mutex_);

    /// The memory under [address, address + bytes) as one piece of host memory. EFAULT when the
    /// process could not read it, EINVAL for no bytes, ENOMEM the host has no room.
    Result<std::unique_ptr<View>> view(std::uint64_t address, std::uint64_t bytes) EXCLUDES(mutex_);

    /// Bytes that the process has mapped now.
    std::uint64_t mapped_bytes() const EXCLUDES(mutex_);

  private:
    // vm_area_struct. Private memory is one run of slots, all of it shown.
    struct Area {
        std::uint64_t last;
        int protection;
        int most_protection;
        Ref<Backing> backing;
        std::uint64_t where;  // the first slot of private memory, or the offset into the backing
        bool kept = false;
        bool ended = false;  // what lies past the end of a file that a private mapping copied

        std::uint64_t where_at(std::uint64_t distance) const {
            return backing ? where + distance : where + (distance >> kFrameShift);
        }
    };
    using Areas = std::map<std::uint64_t, Area>;
    // Host addresses kept for one mmap() and the gap behind it, until the last page is unmapped.
    struct Reservation {
        HostMapping host;
        std::uint64_t last;  // user address
        std::uint64_t mapped;
        bool kept;
    };
    enum class By : std::uint8_t { process, emulator };

    struct Reach {
        std::uint64_t bytes;
        Signal signal;
    };

    Result<> check_range(std::uint64_t address, std::uint64_t& length) const;
    Result<> room_for_areas(std::size_t more) const REQUIRES(mutex_);
    // The area that goes on from below `address` to it and beyond, or end().
    Areas::const_iterator across(std::uint64_t address) const REQUIRES(mutex_);
    Result<std::uint64_t> reserve(std::uint64_t length, std::uint64_t alignment, bool kept)
        REQUIRES(mutex_);
    bool reserved(Range range) const REQUIRES(mutex_);
    void count_mapped(std::uint64_t address, std::uint64_t bytes) REQUIRES(mutex_);
    void count_unmapped(std::uint64_t address, std::uint64_t bytes) REQUIRES(mutex_);
    Result<> map_anonymous(Range range, int protection, bool kept) REQUIRES(mutex_);
    Result<> map_shared(Range range, const MapRequest& request) REQUIRES(mutex_);
    Result<> copy_backing(Range range, const MapRequest& request) REQUIRES(mutex_);
    void split(std::uint64_t address) REQUIRES(mutex_);
    // Unmaps what is not kept; the backings are dropped by the caller, without the lock. ENOMEM:
    // nothing has changed.
    Result<> remove(Range range, std::vector<Ref<Backing>>& gone) REQUIRES(mutex_);
    // The same for areas that lie wholly within the range, kept or not: it cannot fail. Returns the
    // bytes unmapped.
    std::uint64_t remove_whole(Range range, std::vector<Ref<Backing>>& gone) REQUIRES(mutex_);
    Areas::iterator erase(Areas::iterator area, std::vector<Ref<Backing>>& gone) REQUIRES(mutex_);
    // The pages of a file that an area shows at `at`, whole pages of this address space.
    Result<HeldFrames> backing_frames(const Area& area, std::uint64_t start, std::uint64_t at,
                                      std::uint64_t bytes);
    // Registers that an access of the process meets: where in which backing, and how far.
    struct Trap {
        Ref<Backing> backing;
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
    };
    Trap trap_at(std::uint64_t address, std::uint64_t bytes) REQUIRES(mutex_);
    template <class Visit>
    Reach walk(By by, std::uint64_t address, std::uint64_t bytes, Access access, Visit&& visit)
        REQUIRES(mutex_);

    mutable Mutex mutex_{lock_order::kAddressSpace};
    Areas areas_ GUARDED_BY(mutex_);
    ShownFrames shown_ GUARDED_BY(mutex_);
    std::map<std::uint64_t, Reservation> reservations_ GUARDED_BY(mutex_);
    bool exited_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::mm
