// SPDX-License-Identifier: MIT
//
// The IOMMU driver of VFIO_TYPE1_IOMMU and VFIO_TYPE1v2_IOMMU: a list of mappings, the same in
// every domain of a container (drivers/vfio/vfio_iommu_type1.c).
//
// A container is one logical address space. Its groups share a domain if their IOMMUs allow it;
// other groups get a domain of their own with the same mappings.
//
// States of a mapping (VfioDma), and what is charged to mm->locked_vm of the task that made it:
//
//   recorded      No group with an IOMMU is in the container. Only pages that drivers of emulated
//                 devices pin are pinned, and charged.
//   iommu_mapped  Pinned as a whole and in every domain: all pages are charged, each once. Those
//                 that drivers had pinned before stay charged as they are (pfn_charge), the rest is
//                 charged with the pins for the IOMMU (pins.charge()). Further pins and unpins of
//                 drivers change no charge.
//
//   MAP_DMA                      makes a mapping, in the state of the container
//   the first IOMMU joins        recorded -> iommu_mapped, all mappings or none: if it fails, pins
//                                and charges are as before
//   the last IOMMU leaves        iommu_mapped -> recorded while an emulated group stays: the pages
//                                that drivers have pinned are charged, whatever the limit; else
//                                all mappings are removed
//   UNMAP_DMA, the last group    removes the mapping, unpins and uncharges
//
// Either state may be vaddr_invalid, after UNMAP_DMA with VFIO_DMA_UNMAP_FLAG_VADDR. MAP_DMA with
// VFIO_DMA_MAP_FLAG_VADDR ends that and moves the whole charge of the mapping to the caller, or
// fails.
//
// The lock is dropped in three places: while UNMAP_DMA calls drivers to unpin, while bits of dirty
// pages are copied to the user, and while dma_rw() copies. The first two check everything again
// afterwards. An unmap waits for the third: nothing is read or written through a mapping once the
// call that removed it has returned.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fs/ioctl.h"
#include "fs/kernel.h"
#include "iommu/iommu.h"
#include "uapi/vfio.h"
#include "vfio/dma_access.h"
#include "vfio/iommu_driver.h"
#include "vfio/lock_order.h"
#include "vfio/module.h"
#include "vfio/type1/iova_ranges.h"
#include "vfio/type1/vfio_dma.h"

namespace kvmiommu::vfio {

class Type1Driver final : public IommuDriver {
  public:
    Type1Driver(fs::Kernel& kernel, const Options& options) : kernel_(kernel), options_(options) {}

    std::int64_t check_extension(std::uint64_t extension) const override;
    /// ENOMEM an injected failure
    /// EINVAL an extension that is not a type of container
    Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) override;

  private:
    fs::Kernel& kernel_;
    const Options& options_;
};

class Type1 final : public IommuBackend, public DmaAccess {
  public:
    /// `v2`: an unmap must not cut a mapping, and dirty pages can be tracked. `nesting`:
    /// VFIO_TYPE1_NESTING_IOMMU, to which no IOMMU can be attached.
    Type1(fs::Kernel& kernel, const Options& options, bool v2, bool nesting);
    ~Type1() override;

    /// ENOTTY the request is unknown
    /// EFAULT the request's struct cannot be read
    /// EINVAL argsz is below the smallest struct of the request
    /// and what the request says, below
    /// EFAULT the struct cannot be written back
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    std::int64_t check_extension(std::uint64_t extension) override EXCLUDES(mutex_);
    /// Pins and maps what was only recorded. Nothing has changed when it fails.
    /// EBUSY there are mappings whose user address is invalid
    /// EINVAL the group is in the container already
    /// An emulated group is in now. For others:
    /// and what Ops::paging_domain_alloc() says
    /// EINVAL, EPERM nesting, as iommu::Ops::enable_nesting() says
    /// and what iommu::Group::attach() says
    /// EINVAL the aperture has no iova in common with the container, or excludes a mapping
    /// EINVAL a mapping lies in a reserved region
    /// EINVAL reserved regions leave no iova
    /// EINVAL it has no page size in common with the container
    /// EPERM its interrupts are not isolated, without allow_unsafe_interrupts
    /// EFAULT a page of a mapping cannot be pinned
    /// ENOMEM a charge would pass RLIMIT_MEMLOCK
    /// and what iommu::map() says
    Result<> attach_group(fs::Task& task, iommu::Group& group, GroupType type) override
        EXCLUDES(mutex_);
    /// With the last group all mappings are removed.
    void detach_group(iommu::Group& group) override EXCLUDES(mutex_);
    DmaAccess* dma_access() override { return this; }

    void register_device(DmaUser& device) override EXCLUDES(mutex_);
    void unregister_device(DmaUser& device) override EXCLUDES(mutex_);
    /// E2BIG more pages than a page has room for pointers
    /// EACCES the container is of version 1
    /// EBUSY there are mappings whose user address is invalid
    /// EINVAL no device is registered
    /// EINVAL a page is not mapped
    /// EPERM a page is not mapped for this access
    /// ENODEV the process that mapped a page has exited
    /// EFAULT a page cannot be pinned
    /// ENOMEM the charge of a page would pass RLIMIT_MEMLOCK
    Result<> pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                       std::span<mm::PhysAddr> pages) override EXCLUDES(mutex_);
    void unpin_pages(std::uint64_t iova, std::uint64_t count) override EXCLUDES(mutex_);
    /// Bytes moved before an error stay moved.
    /// EBUSY there are mappings whose user address is invalid
    /// EINVAL an iova is not mapped
    /// EPERM it is not mapped for reading, or for a write not for writing
    /// EPERM it was mapped by another process
    /// EFAULT the process has no memory there
    Result<> dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data,
                    bool write) override EXCLUDES(mutex_);

    // --- requests ---

    /// Page sizes, and a chain of capabilities if argsz has room for all of them.
    /// EFAULT the chain cannot be written
    Result<std::int64_t> get_info(fs::Block<uapi::vfio_iommu_type1_info> info) EXCLUDES(mutex_);
    /// EINVAL unknown flags
    /// EOVERFLOW since 7.2: size is not 0, and iova + size or vaddr + size wraps
    /// EINVAL neither access nor VFIO_DMA_MAP_FLAG_VADDR, or both
    /// EINVAL size is 0; size, iova or vaddr is not a multiple of the smallest page
    /// EINVAL iova + size or vaddr + size wraps
    /// Access:
    /// EEXIST the range overlaps a mapping
    /// ENOSPC dma_entry_limit mappings exist
    /// EINVAL the range meets a reserved region, or exceeds the aperture
    /// ENOMEM an injected failure
    /// EFAULT a page cannot be pinned
    /// ENOMEM a charge would pass RLIMIT_MEMLOCK
    /// and what iommu::map() says
    /// EINVAL dirty pages are tracked, and the mapping has too many
    /// VFIO_DMA_MAP_FLAG_VADDR:
    /// ENOENT nothing is mapped there
    /// EINVAL the mapping there has another range, or its user address is valid
    /// ENOMEM the mapping's charge would pass the caller's RLIMIT_MEMLOCK
    Result<std::int64_t> map_dma(fs::Block<uapi::vfio_iommu_type1_dma_map> map) EXCLUDES(mutex_);
    /// Stores the bytes unmapped in size. What was unmapped before an error stays unmapped.
    /// EINVAL unknown flags, or VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP with another one
    /// EINVAL argsz has no room for a bitmap
    /// EFAULT the struct of the bitmap cannot be read
    /// EINVAL the bitmap exceeds the user's addresses
    /// EINVAL the bitmap is empty, too large or too small
    /// EBUSY VFIO_DMA_UNMAP_FLAG_VADDR, and emulated groups are in the container
    /// EINVAL iova is not a multiple of the smallest page
    /// EINVAL VFIO_DMA_UNMAP_FLAG_ALL, and iova or size is not 0
    /// EINVAL size is 0 or not a multiple of the smallest page
    /// EINVAL, since 7.2 EOVERFLOW, iova + size wraps
    /// EINVAL a bitmap, and dirty pages are not tracked, or in pages of another size
    /// EINVAL version 2: it would cut a mapping
    /// EINVAL VFIO_DMA_UNMAP_FLAG_VADDR, and a user address is invalid already
    /// EFAULT the bitmap cannot be read or written: its mapping stays
    Result<std::int64_t> unmap_dma(fs::Block<uapi::vfio_iommu_type1_dma_unmap> unmap)
        EXCLUDES(mutex_);
    /// EINVAL flags are not exactly one of start, stop and get
    /// EINVAL start: a mapping has too many pages
    /// EINVAL get: argsz has no room for a range and a bitmap
    /// EFAULT get: these cannot be read
    /// EINVAL get: iova + size wraps or is 2^64; since 7.2 size is 0
    /// EOVERFLOW get, since 7.2: iova + size wraps
    /// EINVAL get: the bitmap exceeds the user's addresses
    /// EINVAL get: the bitmap is empty, too large or too small
    /// EINVAL get: size is 0; iova, size or the bitmap's page is not of the smallest page
    /// EINVAL get: dirty pages are not tracked
    /// EINVAL get: it would cut a mapping
    /// EFAULT get: the bitmap cannot be read or written
    Result<std::int64_t> dirty_pages(fs::Block<uapi::vfio_iommu_type1_dirty_bitmap> dirty)
        EXCLUDES(mutex_);
    /// EACCES always: VFIO_IOMMU_DIRTY_PAGES of version 1
    Result<std::int64_t> no_dirty_pages(fs::Task& task, std::uint64_t argument);

  private:
    // A page table and the groups whose devices walk it (vfio_domain).
    struct VfioDomain {
        std::unique_ptr<iommu::Domain> domain;
        bool enforce_cache_coherency = false;
        std::vector<iommu::Group*> groups;
    };
    // Bits of a mapping that are copied to the user without the lock.
    struct BitmapCopy {
        std::uint64_t iova;
        std::uint64_t last;     // of the mapping
        std::uint64_t version;  // of the bitmap that the bits are from
        unsigned shift;         // bits of the first word that are not the mapping's
        std::uint64_t to;       // user address of the first word
        std::vector<std::uint64_t> words;
        std::optional<std::uint64_t> leftover;  // what the user had in the first word
    };
    // The state of an unmap that survives a drop of the lock.
    struct Unmapping {
        const uapi::vfio_iommu_type1_dma_unmap& request;
        const uapi::vfio_bitmap& bitmap;
        std::uint64_t bytes = 0;         // unmapped so far
        std::optional<Range> pinned;     // a mapping whose pages drivers are to unpin
        std::optional<BitmapCopy> copy;  // of a mapping that is removed once it is copied
        DmaList::Removed removed;
    };

    std::uint64_t page_size() const { return kernel_.page_size(); }
    // The smallest page that a mapping can have.
    std::uint64_t pgsize() const REQUIRES(mutex_) { return lowest_bit(pgsize_bitmap_); }

    // type1_attach.cpp
    bool attached(const iommu::Group& group) const REQUIRES(mutex_);
    Result<IovaRanges> iova_list_with(const iommu::Domain& domain, const iommu::Group& group)
        REQUIRES(mutex_);
    std::uint64_t common_page_sizes() const REQUIRES(mutex_);
    Result<> check_page_sizes(const iommu::Domain& domain) const REQUIRES(mutex_);
    void update_iova_list() REQUIRES(mutex_);
    void update_pgsize_bitmap() REQUIRES(mutex_);
    Result<VfioDomain*> domain_for(fs::Task& task, iommu::Group& group) REQUIRES(mutex_);
    Result<> replay(fs::Task& task, iommu::Domain& domain) REQUIRES(mutex_);

    // type1_map.cpp
    Result<> change_vaddr(fs::Task& task, DmaList::iterator found,
                          const uapi::vfio_iommu_type1_dma_map& map, Ref<mm::AddressSpace>& unused)
        REQUIRES(mutex_);
    // Pins and maps the rest of a mapping, up to `size` bytes.
    Result<> pin_and_map(fs::Task& task, std::uint64_t iova, VfioDma& dma, std::uint64_t size)
        REQUIRES(mutex_);
    // Pins and charges memory from `offset` on, as far as it is contiguous.
    Result<mm::PinnedRun> pin_run(fs::Task& task, std::uint64_t iova, const VfioDma& dma,
                                  std::uint64_t offset, std::uint64_t bytes, mm::Pins& pins)
        REQUIRES(mutex_);
    Result<> map_in_all(fs::Task& task, std::uint64_t iova, mm::PinnedRun run,
                        std::uint32_t protection) REQUIRES(mutex_);
    void unmap_from_all(std::uint64_t iova, std::uint64_t size) REQUIRES(mutex_);
    // No IOMMU is left: only the pages that drivers have pinned stay pinned and charged.
    void leave_to_drivers(std::uint64_t iova, VfioDma& dma) REQUIRES(mutex_);
    // Unmaps, unpins and uncharges.
    DmaList::iterator remove(DmaList::iterator dma, DmaList::Removed& removed) REQUIRES(mutex_);
    void remove_all(DmaList::Removed& removed) REQUIRES(mutex_);

    // type1_unmap.cpp
    Result<> check_unmap(const uapi::vfio_iommu_type1_dma_unmap& unmap) REQUIRES(mutex_);
    Result<> check_unmap_bitmap(const uapi::vfio_bitmap& bitmap) REQUIRES(mutex_);
    // Unmaps up to a mapping that needs the lock dropped: see Unmapping.
    Result<> unmap_some(Unmapping& unmapping) REQUIRES(mutex_);
    std::uint64_t end_of(const uapi::vfio_iommu_type1_dma_unmap& unmap) const;
    // Calls every registered device to unpin its pages of a mapping.
    void notify_unmap(Range iovas) EXCLUDES(mutex_);
    void take_from_drivers(Range iovas) EXCLUDES(mutex_);
    bool cuts_a_mapping(std::uint64_t iova, std::uint64_t size) REQUIRES(mutex_);
    Result<> invalidate_vaddrs(std::uint64_t iova, std::uint64_t end, std::uint64_t& bytes)
        REQUIRES(mutex_);

    // type1_pages.cpp
    Result<mm::PhysAddr> pin_page(std::uint64_t iova, std::uint32_t protection) REQUIRES(mutex_);
    void unpin_page(std::uint64_t iova) REQUIRES(mutex_);
    // Unpins a page whose ref_count is 0.
    void drop_pfn(VfioDma& dma, std::map<std::uint64_t, VfioPfn>::iterator pfn) REQUIRES(mutex_);
    Result<DmaList::iterator> dma_to_copy(fs::Task& task, std::uint64_t iova, bool write)
        REQUIRES(mutex_);
    // Waits until no dma_rw() copies. Drops the lock, so it comes before any check.
    void wait_for_copies() REQUIRES(mutex_) {
        if (copying_ != 0) [[unlikely]] {
            wait_until_copied();
        }
    }
    void wait_until_copied() REQUIRES(mutex_);

    // type1_dirty.cpp
    void mark_dirty(VfioDma& dma, std::uint64_t offset, std::uint64_t bytes) REQUIRES(mutex_);
    void mark_pinned_dirty(std::uint64_t iova, VfioDma& dma) REQUIRES(mutex_);
    void mark_all_dirty() REQUIRES(mutex_);
    Result<> start_dirty_tracking() REQUIRES(mutex_);
    void stop_dirty_tracking() REQUIRES(mutex_);
    Result<> begin_tracking(VfioDma& dma) REQUIRES(mutex_);
    Result<std::int64_t> get_dirty_bitmap(fs::Task& task,
                                          const uapi::vfio_iommu_type1_dirty_bitmap_get& get)
        EXCLUDES(mutex_);
    Result<> check_get(const uapi::vfio_iommu_type1_dirty_bitmap_get& get) REQUIRES(mutex_);
    // The bits of a mapping for a bitmap that begins at iova `base`.
    BitmapCopy copy_bitmap(std::uint64_t iova, VfioDma& dma, std::uint64_t base,
                           std::uint64_t user_bitmap) REQUIRES(mutex_);
    Result<> give_bitmap(fs::Task& task, BitmapCopy& copy) EXCLUDES(mutex_);
    // The mapping whose bits were copied, or null if a bit may have changed since.
    VfioDma* unchanged(const BitmapCopy& copy) REQUIRES(mutex_);
    void keep_shift(const BitmapCopy& copy, VfioDma& dma) REQUIRES(mutex_);
    void forget_dirty(std::uint64_t iova, VfioDma& dma) REQUIRES(mutex_);
    void bitmap_changed(VfioDma& dma) REQUIRES(mutex_) { dma.bitmap_version = ++bitmap_versions_; }
    static Result<> check_bitmap(const uapi::vfio_bitmap& bitmap, std::uint64_t size);

    fs::Kernel& kernel_;
    const Options& options_;
    const bool v2_;
    const bool nesting_;

    Mutex mutex_{lock_order::kBackend};
    DmaList dma_list_ GUARDED_BY(mutex_);
    std::vector<std::unique_ptr<VfioDomain>> domain_list_ GUARDED_BY(mutex_);  // newest first
    std::vector<const iommu::Group*> emulated_iommu_groups_ GUARDED_BY(mutex_);
    std::vector<DmaUser*> device_list_ GUARDED_BY(mutex_);
    IovaRanges iova_list_ GUARDED_BY(mutex_);
    std::uint64_t pgsize_bitmap_ GUARDED_BY(mutex_);
    std::uint64_t dma_avail_ GUARDED_BY(mutex_);
    std::uint64_t vaddr_invalid_count_ GUARDED_BY(mutex_) = 0;
    bool dirty_page_tracking_ GUARDED_BY(mutex_) = false;
    std::uint64_t bitmap_versions_ GUARDED_BY(mutex_) = 0;

    // Work without the lock, and its waiters.
    Condition idle_;
    std::uint64_t copying_ GUARDED_BY(mutex_) = 0;             // dma_rw()
    std::uint64_t waiting_for_copies_ GUARDED_BY(mutex_) = 0;  // not 0: no dma_rw() begins
    std::uint64_t notifying_ GUARDED_BY(mutex_) = 0;           // calls of DmaUser::dma_unmap()
};

}  // namespace kvmiommu::vfio
