// SPDX-License-Identifier: MIT
//
// mm_struct: the user addresses of a process, as the kernel's calls meet them. Two kinds: the
// emulated process of the Python face owns its memory (owned_address_space.h); a process that
// a supervisor watches has the host's. docs/explanation/host-address-space.md says what
// the second asks of this interface.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/base.h"
#include "mm/lock_order.h"
#include "mm/locked_memory.h"
#include "mm/physical_memory.h"

namespace kvmiommu::mm {

/// User addresses end here on every machine: x86's TASK_SIZE with 47 bits.
inline constexpr std::uint64_t kTaskSize = (std::uint64_t{1} << 47) - kFrameSize;

enum class Access : std::uint8_t { read, write };

/// What an architecture keeps with an address space (mm_context_t); it goes with it.
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
    /// Bytes of a page: 4096 or 65536. Alignment, rounding and faults follow it.
    std::uint64_t page_size() const { return page_size_; }

    /// Copies between the process and the kernel. EFAULT when a byte cannot be reached; the bytes
    /// before it have then been copied. Both ends may be of size 0.
    virtual Result<> copy_in(void* to, std::uint64_t from, std::uint64_t bytes) = 0;
    virtual Result<> copy_out(std::uint64_t to, const void* from, std::uint64_t bytes) = 0;

    /// Pins the pages of [address, address + bytes), page aligned and not empty, as far as they
    /// are physically contiguous, and returns that run. EFAULT when the first page cannot be
    /// pinned for this access (mm/gup.c: pin_user_pages_remote). The pin holds the pages until
    /// memory().unpin(), whatever becomes of the mapping and of the process.
    virtual Result<PhysicalRun> pin(std::uint64_t address, std::uint64_t bytes, Access access) = 0;

    /// The last task has left: everything is unmapped, copies and pins return EFAULT.
    virtual void exit() = 0;
    /// Has the last task left?
    virtual bool exited() const = 0;

    /// The context of the machine's architecture, which is made when somebody first asks for it;
    /// null when there is one of another kind.
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

    /// Once nobody can ask for it any more: what it still holds goes.
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
