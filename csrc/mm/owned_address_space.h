// SPDX-License-Identifier: MIT
//
// The address space of an emulated process (mm/mmap.c, mm/mprotect.c, mm/gup.c). Its mappings are
// real mappings of the machine's RAM file, so that a user address is a real address. The kernel's
// copies use the direct map instead, so that no bad address can fault in the host.
//
// The memory of a mapping is allocated by mmap(), not at the first access as in Linux. So it is
// contiguous as far as the machine's fragment allows, and mmap() of more than is free is ENOMEM (no
// overcommit).

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

/// The signal of an access by the process itself.
enum class Signal : std::uint8_t { none, segv, bus };

struct MapRequest {
    std::uint64_t length = 0;     // bytes, rounded up to pages
    int protection = 0;           // PROT_READ | PROT_WRITE | PROT_EXEC
    int most_protection = 7;      // the limit of mprotect() (VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC)
    bool shared = false;          // MAP_SHARED; a private mapping of a Backing is a copy
    bool kept = false;            // the emulator's own: only the kernel's copies can access it, and
                                  // it stays until unmap_kept() or exit()
    Ref<Backing> backing;         // none: anonymous memory
    std::uint64_t offset = 0;     // into the backing, page aligned
    std::uint64_t alignment = 0;  // of the address, a power of two; 0: a page, or 2 MiB for
                                  // mappings of 2 MiB and more
    std::optional<std::uint64_t> fixed;  // MAP_FIXED: within addresses of an earlier mapping
};

/// A host mapping of a process's memory, valid until it is destroyed, also after an unmap.
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
    HostCharge charge_;  // for its runs
    std::byte* data_ = nullptr;
    std::uint64_t bytes_ = 0;
};

class OwnedAddressSpace final : public AddressSpace {
  public:
    /// `page_size` is 4096 or 65536; RAM has no fragments smaller than that.
    OwnedAddressSpace(Census& census, PhysicalMemory& memory, std::uint64_t page_size);
    ~OwnedAddressSpace() override;

    /// mmap(): returns the address. (mm/mmap.c: do_mmap)
    /// EINVAL length 0
    /// ENOMEM the length exceeds the user's addresses
    /// EINVAL the offset is not a multiple of the page
    /// EOVERFLOW offset + length wraps
    /// EINVAL the alignment is not a power of two, or too large
    /// ENOMEM the process has exited
    /// ENOMEM too many mappings of the process
    /// EINVAL the fixed address is not a multiple of the page
    /// ENOMEM the fixed range is not within addresses of one earlier mapping
    /// ENOMEM the host has no addresses, or too many mappings
    /// ENOMEM RAM is exhausted; MAP_FIXED has unmapped the range then
    Result<std::uint64_t> map(const MapRequest& request) EXCLUDES(mutex_);
    /// munmap(). Holes are no error.
    /// EINVAL the address is not a multiple of the page
    /// EINVAL the range exceeds the user's addresses
    /// EINVAL length 0
    /// ENOMEM a mapping would be split, and there are too many for the process or for the host
    Result<> unmap(std::uint64_t address, std::uint64_t length) EXCLUDES(mutex_);
    /// Unmaps a mapping that is kept.
    void unmap_kept(std::uint64_t address, std::uint64_t length) EXCLUDES(mutex_);
    /// mprotect(). Length 0 succeeds.
    /// EINVAL the address is not a multiple of the page
    /// ENOMEM address + length wraps
    /// EINVAL unknown protection bits
    /// ENOMEM a mapping would be split, and there are too many for the process or for the host
    /// EACCES more than MapRequest::most_protection; what is in front of that mapping has changed
    /// ENOMEM a hole; what is in front of it has changed
    Result<> protect(std::uint64_t address, std::uint64_t length, int protection) EXCLUDES(mutex_);

    Result<> copy_from_user(void* to, std::uint64_t from, std::uint64_t bytes) override
        EXCLUDES(mutex_);
    Result<> copy_to_user(std::uint64_t to, const void* from, std::uint64_t bytes) override
        EXCLUDES(mutex_);
    Result<PhysicalRun> pin(std::uint64_t address, std::uint64_t bytes, Access access) override
        EXCLUDES(mutex_);
    void exit() override EXCLUDES(mutex_);
    bool exited() const override EXCLUDES(mutex_);

    /// Loads and stores of the process itself. Returns the signal that it gets. Bytes in front of
    /// the one that faults are moved. readable() does not access registers.
    Signal readable(std::uint64_t from, std::uint64_t bytes) EXCLUDES(mutex_);
    Signal peek(void* to, std::uint64_t from, std::uint64_t bytes) EXCLUDES(mutex_);
    Signal poke(std::uint64_t to, const void* from, std::uint64_t bytes) EXCLUDES(mutex_);

    /// The memory at [address, address + bytes) as one piece of host memory.
    /// EINVAL no bytes
    /// EFAULT the process cannot read a byte of it
    /// ENOMEM the host has no addresses, or too many mappings
    Result<std::unique_ptr<View>> view(std::uint64_t address, std::uint64_t bytes) EXCLUDES(mutex_);

    /// Bytes that the process has mapped now.
    std::uint64_t mapped_bytes() const EXCLUDES(mutex_);

  private:
    // vm_area_struct. Private memory is one run of slots, all mapped.
    struct Area {
        std::uint64_t last;
        int protection;
        int most_protection;
        Ref<Backing> backing;
        std::uint64_t where;  // the first slot of private memory, or the offset into the backing
        bool kept = false;
        bool ended = false;  // past the end of a file that a private mapping has copied

        std::uint64_t where_at(std::uint64_t distance) const {
            return backing ? where + distance : where + (distance >> kFrameShift);
        }
    };
    using Areas = std::map<std::uint64_t, Area>;
    // Host addresses of one mmap() and the gap behind it, until the last page is unmapped.
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
    // The area that begins in front of `address` and contains it, or end().
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
    // Unmaps what is not kept; the caller puts the backings without the lock. Nothing has changed
    // when it fails.
    // ENOMEM too many mappings for the host
    Result<> remove(Range range, std::vector<Ref<Backing>>& gone) REQUIRES(mutex_);
    // Unmaps areas that lie within the range, kept or not, which cannot fail. Returns the bytes
    // unmapped.
    std::uint64_t remove_whole(Range range, std::vector<Ref<Backing>>& gone) REQUIRES(mutex_);
    Areas::iterator erase(Areas::iterator area, std::vector<Ref<Backing>>& gone) REQUIRES(mutex_);
    // The pages of a file that an area maps at `at`, whole pages of this address space.
    // EFAULT there is no whole page
    // and what Backing::frames() says
    Result<HeldFrames> backing_frames(const Area& area, std::uint64_t start, std::uint64_t at,
                                      std::uint64_t bytes);
    // A run of registers that an access of the process reaches.
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
