// SPDX-License-Identifier: MIT
//
// The TCEs that a guest sees for one bus, kept by KVM and shown to user space (arch/powerpc/kvm/
// book3s_64_vio.c: struct kvmppc_spapr_tce_table). An entry is what the guest wrote, a guest
// address and rights, in the host's byte order.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/base.h"
#include "fs/task.h"
#include "mm/kernel_pages.h"
#include "spapr/hardware_table.h"

namespace kvmiommu::spapr {

class GuestTable;

/// A hardware table behind a guest table, by each group that it serves once.
struct TableLink {
    Ref<HardwareTable> table;
    std::uint32_t references;
};

/// Who is told that a table goes, before anything of it does.
class GuestTableOwner : public RefCounted {
  public:
    virtual void forget(GuestTable& table) = 0;
    /// Whose locked memory the tables are.
    virtual mm::AddressSpace& mm() = 0;

  protected:
    using RefCounted::RefCounted;
};

class GuestTable final : public mm::KernelPages {
  public:
    /// `offset` and `size` in pages of 2^page_shift bytes.
    struct Window {
        std::uint64_t liobn;
        unsigned page_shift;
        std::uint64_t offset;
        std::uint64_t size;
    };

    /// EINVAL no pages, pages of 2^11 or 2^35 bytes, past the end of the address space; ENOMEM past
    /// the limit of locked memory, or more than the kernel allocates at once.
    /// (kvm_vm_ioctl_create_spapr_tce)
    static Result<Ref<GuestTable>> create(fs::Task& task, const Ref<GuestTableOwner>& owner,
                                          const Window& window);
    /// For create().
    GuestTable(fs::Kernel& kernel, const Ref<GuestTableOwner>& owner, const Window& window,
               std::uint64_t charged);
    ~GuestTable() override;

    const Window& window() const { return window_; }
    std::uint64_t liobn() const { return window_.liobn; }
    unsigned page_shift() const { return window_.page_shift; }

    /// As many as its pages have room for: the window's, or a few more.
    std::uint64_t entries() const { return count() << entry_bits_; }
    /// The entry of page `index` of the window.
    std::uint64_t get(std::uint64_t index) const;
    /// Entries from one on that no page is there for: they are 0.
    std::uint64_t entries_without_page(std::uint64_t index) const;
    /// Nothing happens past the pages' end, or when there is no memory for it.
    void put(std::uint64_t index, std::uint64_t tce);

    /// put() for `count` entries from one on.
    void fill(std::uint64_t index, std::uint64_t count, std::uint64_t tce);

    // --- hardware tables behind it; the virtual machine's lock guards them ---

    const std::vector<TableLink>& links() const { return links_; }
    /// One group more for a hardware table.
    void link(const Ref<HardwareTable>& table);
    /// One group less. With the last one the table is answered, to be dropped without a lock.
    Ref<HardwareTable> unlink(const HardwareTable& table);

  private:
    std::atomic<std::uint64_t>* entry(std::byte* page, std::uint64_t index) const {
        return reinterpret_cast<std::atomic<std::uint64_t>*>(page) +
               (index & low_mask(entry_bits_));
    }

    Ref<GuestTableOwner> owner_{"kvmppc_spapr_tce_table.kvm"};
    const Window window_;
    const std::uint64_t charged_;  // pages of locked memory
    const unsigned entry_bits_;    // of an index into a page
    std::vector<TableLink> links_;
};

}  // namespace kvmiommu::spapr
