// SPDX-License-Identifier: MIT
//
// The TCEs of a guest for one bus, which KVM keeps and user space can map (arch/powerpc/kvm/
// book3s_64_vio.c: struct kvmppc_spapr_tce_table). An entry is what the guest wrote, a guest
// address and rights, in the host's byte order.
//
// A guest may store one value in more entries than there is memory for. Of a page that holds
// nothing else the value alone is kept, until somebody stores another there or maps the page; the
// kernel allocates it at once.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/base.h"
#include "fs/task.h"
#include "mm/kernel_pages.h"
#include "spapr/hardware_table.h"

namespace kvmiommu::spapr {

class GuestTable;

/// A hardware table that is linked to a guest table, once for each group that it serves.
struct TableLink {
    Ref<HardwareTable> table;
    std::uint32_t references;
};

/// The virtual machine of a table.
class GuestTableOwner : public RefCounted {
  public:
    /// A table is about to be freed.
    virtual void forget(GuestTable& table) = 0;
    /// The address space whose locked memory the tables are charged to.
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

    /// (kvm_vm_ioctl_create_spapr_tce)
    /// EINVAL no pages, pages below 2^12 or above 2^34 bytes, past the end of the address space
    /// ENOMEM past the limit of locked memory
    /// ENOMEM more than the kernel allocates at once
    static Result<Ref<GuestTable>> create(fs::Task& task, const Ref<GuestTableOwner>& owner,
                                          const Window& window);
    /// For create().
    GuestTable(fs::Kernel& kernel, const Ref<GuestTableOwner>& owner, const Window& window,
               std::uint64_t charged);
    ~GuestTable() override;

    const Window& window() const { return window_; }
    std::uint64_t liobn() const { return window_.liobn; }
    unsigned page_shift() const { return window_.page_shift; }

    /// As many as its pages have room for, which may be more than the window has.
    std::uint64_t entries() const { return count() << entry_bits_; }
    /// The entry of page `index` of the window.
    std::uint64_t get(std::uint64_t index) const EXCLUDES(mutex_);
    /// The number of entries from one on, all 0, for which no page is allocated.
    std::uint64_t entries_without_page(std::uint64_t index) const EXCLUDES(mutex_);
    /// Stores an entry; does nothing past the end of the pages, or without memory for one.
    void put(std::uint64_t index, std::uint64_t tce) EXCLUDES(mutex_);

    /// put() for `count` entries from one on. Takes time for the pages, not for the entries.
    void fill(std::uint64_t index, std::uint64_t count, std::uint64_t tce) EXCLUDES(mutex_);

    // --- hardware tables that are linked to it; the virtual machine's lock guards them ---

    const std::vector<TableLink>& links() const { return links_; }
    /// Links a hardware table for one group more.
    void link(const Ref<HardwareTable>& table);
    /// Unlinks it for one group. Returns the reference of the last one, to be put without a lock.
    Ref<HardwareTable> unlink(const HardwareTable& table);

  private:
    // Pages that are not allocated, all of whose entries have one value other than 0.
    struct Filled {
        std::uint64_t last;
        std::uint64_t tce;
    };

    void begin(std::uint64_t index, std::byte* page) override REQUIRES(mutex_);
    std::uint64_t filled(std::uint64_t page) const REQUIRES(mutex_);
    void set_filled(Range pages, std::uint64_t tce) REQUIRES(mutex_);
    void fill_page(std::uint64_t page, std::uint64_t first, std::uint64_t count, std::uint64_t tce)
        EXCLUDES(mutex_);
    std::uint64_t entries_in_page() const { return std::uint64_t{1} << entry_bits_; }
    std::atomic<std::uint64_t>* entry(std::byte* page, std::uint64_t index) const {
        return reinterpret_cast<std::atomic<std::uint64_t>*>(page) +
               (index & low_mask(entry_bits_));
    }

    Ref<GuestTableOwner> owner_{"kvmppc_spapr_tce_table.kvm"};
    const Window window_;
    const std::uint64_t charged_;  // pages of locked memory
    const unsigned entry_bits_;    // of the index of an entry in a page
    std::vector<TableLink> links_;
    std::map<std::uint64_t, Filled> filled_ GUARDED_BY(mutex_);  // by the first page
};

}  // namespace kvmiommu::spapr
