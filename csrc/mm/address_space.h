// SPDX-License-Identifier: MIT
//
// The address space of a process (include/linux/mm_types.h: mm_struct), as the kernel's calls
// access it. Two kinds: an emulated process of the Python face owns its memory
// (owned_address_space.h); a process under a supervisor uses the host's.
// docs/explanation/host-address-space.md has the requirements of the second kind.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/base.h"
#include "mm/lock_order.h"
#include "mm/locked_memory.h"
#include "mm/physical_memory.h"

namespace kvmiommu::mm {

/// The end of user addresses on every machine: x86's TASK_SIZE with 47 bits.
inline constexpr std::uint64_t kTaskSize = (std::uint64_t{1} << 47) - kFrameSize;

enum class Access : std::uint8_t { read, write };

/// Data of an architecture that belongs to an address space (mm_context_t).
class MmContext {
  public:
    virtual ~MmContext() = default;
    MmContext(const MmContext&) = delete;
    MmContext& operator=(const MmContext&) = delete;

  protected:
    MmContext() = default;
};

class AddressSpace : public RefCounted {
  public:
    /// Bytes of a page: 4096 or 65536. The unit of alignment, rounding and faults.
    std::uint64_t page_size() const { return page_size_; }

    /// Copies between the process and the kernel. `bytes` may be 0. Bytes in front of one that
    /// cannot be accessed are copied.
    /// EFAULT a byte cannot be accessed
    virtual Result<> copy_from_user(void* to, std::uint64_t from, std::uint64_t bytes) = 0;
    virtual Result<> copy_to_user(std::uint64_t to, const void* from, std::uint64_t bytes) = 0;

    /// Pins the pages of [address, address + bytes), page aligned and not empty, as far as they
    /// are physically contiguous, and returns that run. They stay pinned until memory().unpin(),
    /// also after an unmap or an exit. (mm/gup.c: pin_user_pages_remote)
    /// EFAULT the first page cannot be pinned for this access
    virtual Result<PhysicalRun> pin(std::uint64_t address, std::uint64_t bytes, Access access) = 0;

    /// Called when the last task exits: unmaps everything. Copies and pins return EFAULT then.
    virtual void exit() = 0;
    /// Has the last task exited?
    virtual bool exited() const = 0;

    /// The context of the machine's architecture, created by the first call; null if there is a
    /// context of another kind.
    template <class Context>
    Context* context() EXCLUDES(context_mutex_) {
        static constexpr char kKind = 0;  // its address is the kind
        const Lock lock(context_mutex_);
        if (!context_) {
            context_ = std::make_unique<Context>(memory_);
            context_kind_ = &kKind;
        }
        return context_kind_ == &kKind ? static_cast<Context*>(context_.get()) : nullptr;
    }

    /// Destroys the context. No call of context() may follow.
    void drop_context() EXCLUDES(context_mutex_) {
        std::unique_ptr<MmContext> gone;
        const Lock lock(context_mutex_);
        gone.swap(context_);  // destroyed without the lock
    }

    PhysicalMemory& memory() { return memory_; }
    /// mm->locked_vm: mlock, VFIO's type1 and sPAPR containers, TCE tables.
    LockedMemory& locked_vm() { return locked_vm_; }
    /// mm->pinned_vm: iommufd and its like.
    LockedMemory& pinned_vm() { return pinned_vm_; }

  protected:
    AddressSpace(Census& census, PhysicalMemory& memory, std::uint64_t page_size)
        : RefCounted(census, "mm_struct"), memory_(memory), page_size_(page_size) {}

  private:
    PhysicalMemory& memory_;
    const std::uint64_t page_size_;
    LockedMemory locked_vm_;
    LockedMemory pinned_vm_;
    Mutex context_mutex_{lock_order::kContext};
    std::unique_ptr<MmContext> context_ GUARDED_BY(context_mutex_);
    const void* context_kind_ GUARDED_BY(context_mutex_) = nullptr;
};

}  // namespace kvmiommu::mm
