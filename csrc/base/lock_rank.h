// SPDX-License-Identifier: MIT
//
// The rank of a mutex in the order in which a thread takes them (after Documentation/locking/
// lockdep-design.rst). A folder lists its ranks in lock_order.h; calls and locks go from upper
// folders to lower ones.
//
// Debug builds check each lock against those that the thread holds, and abort at the first one that
// is out of order, whether or not another thread was in the way.

#pragma once

#include <cstdint>

namespace kvmiommu {

/// The folders of csrc, the lowest first.
enum class Layer : std::uint8_t {
    base,
    mm,
    fs,
    iommu,
    pci,
    spapr,
    iommufd,
    vfio,
    kvm,
    ioasid,
    machine,
    face,
};

/// A thread that holds a mutex takes those of lower ranks alone.
struct LockRank {
    std::uint16_t order;
    const char* name;  // "vfio_group.group_lock"

    /// `height` within the folder: 0 for a leaf.
    constexpr LockRank(Layer layer, std::uint8_t height, const char* lock)
        : order(static_cast<std::uint16_t>(static_cast<unsigned>(layer) << 8 | height)),
          name(lock) {}
};

/// A lock that this thread holds and under which one of this rank must not be taken; null: none.
const LockRank* held_out_of_order(const LockRank& rank);

/// Called before `what`, which may take any lock or sleep: debug builds abort, with the lock's
/// name, if this thread holds one.
#ifndef NDEBUG
void must_hold_no_lock(const char* what);
#else
inline void must_hold_no_lock(const char*) {}
#endif

namespace detail {
// Aborts with both names if held_out_of_order() returns one.
void check_lock_order(const LockRank& rank);
void note_locked(const LockRank& rank);
void note_unlocked(const LockRank& rank);
}  // namespace detail

}  // namespace kvmiommu
