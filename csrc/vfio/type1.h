// SPDX-License-Identifier: MIT
//
// The IOMMU driver of VFIO_TYPE1_IOMMU and VFIO_TYPE1v2_IOMMU: a list of mappings that is kept
// the same in every domain of a container (drivers/vfio/vfio_iommu_type1.c).
//
// A container is one logical address space. Its groups share a domain as far as their IOMMUs
// allow; those that do not fit get a domain of their own, with the same mappings.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fs/ioctl.h"
#include "fs/kernel.h"
#include "iommu/iommu.h"
#include "uapi/vfio.h"
#include "vfio/iommu_driver.h"
#include "vfio/iova_ranges.h"
#include "vfio/module.h"
#include "vfio/type1_mapping.h"

namespace kvmiommu::vfio {

class Type1Driver final : public IommuDriver {
  public:
    Type1Driver(fs::Kernel& kernel, const Options& options) : kernel_(kernel), options_(options) {}

    std::int64_t check_extension(std::uint64_t extension) const override;
    Result<Ref<IommuBackend>> open(fs::Task& task, std::uint64_t type) override;

  private:
    fs::Kernel& kernel_;
    const Options& options_;
};

class Type1 final : public IommuBackend {
  public:
    /// `v2`: an unmap must not cut a mapping, and dirty pages can be tracked. `nesting`:
    /// VFIO_TYPE1_NESTING_IOMMU, which every IOMMU here refuses at attach.
    Type1(fs::Kernel& kernel, const Options& options, bool v2, bool nesting);
    ~Type1() override;

    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    std::int64_t check_extension(std::uint64_t extension) override EXCLUDES(mutex_);
    /// EBUSY mappings whose user address is invalid; EINVAL the group is in already, or its
    /// aperture or reserved regions exclude a mapping; EPERM no isolated interrupts; ENOMEM,
    /// EFAULT pinning what is to be mapped for it; else what the IOMMU says.
    Result<> attach_group(fs::Task& task, iommu::Group& group, GroupType type) override
        EXCLUDES(mutex_);
    void detach_group(iommu::Group& group) override EXCLUDES(mutex_);

    void register_device(DmaUser& device) override EXCLUDES(mutex_);
    void unregister_device(DmaUser& device) override EXCLUDES(mutex_);
    /// EACCES version 1; EBUSY mappings without a valid user address; EINVAL no device is told of
    /// unmaps, or an iova that is not mapped; EPERM not mapped for this access; ENODEV the process
    /// that mapped it has gone; EFAULT; ENOMEM past its limit.
    Result<> pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                       std::span<mm::PhysAddr> pages) override EXCLUDES(mutex_);
    void unpin_pages(std::uint64_t iova, std::uint64_t count) override EXCLUDES(mutex_);
    /// EBUSY as above; EINVAL not mapped; EPERM not mapped for reading, or not for writing; EFAULT.
    /// What was moved before it stays moved.
    Result<> dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data,
                    bool write) override EXCLUDES(mutex_);

    // --- requests ---

    /// Page sizes, and a chain of capabilities as far as argsz has room for them.
    Result<std::int64_t> get_info(fs::Block<uapi::vfio_iommu_type1_info> info) EXCLUDES(mutex_);
    /// EINVAL, EEXIST, ENOSPC, EFAULT, ENOMEM, ENOENT: in the order of the code.
    Result<std::int64_t> map_dma(fs::Block<uapi::vfio_iommu_type1_dma_map> map) EXCLUDES(mutex_);
    /// EINVAL, EBUSY, EFAULT; the size becomes what was unmapped.
    Result<std::int64_t> unmap_dma(fs::Block<uapi::vfio_iommu_type1_dma_unmap> unmap)
        EXCLUDES(mutex_);
    Result<std::int64_t> dirty_pages(fs::Block<uapi::vfio_iommu_type1_dirty_bitmap> dirty)
        EXCLUDES(mutex_);
    /// EACCES: version 1 tracks no dirty pages, whatever is asked.
    Result<std::int64_t> no_dirty_pages(fs::Task& task, std::uint64_t argument);

  private:
    // A page table and the groups whose devices walk it.
    struct AttachedDomain {
        std::unique_ptr<iommu::Domain> domain;
        bool coherent = false;
        std::vector<iommu::Group*> groups;
    };

    std::uint64_t page_size() const { return kernel_.page_size(); }
    // The smallest page that a mapping can have.
    std::uint64_t granule() const REQUIRES(mutex_) { return lowest_bit(pgsize_bitmap_); }
    bool attached(const iommu::Group& group) const REQUIRES(mutex_);
    Result<IovaRanges> ranges_with(const iommu::Domain& domain, const iommu::Group& group)
        REQUIRES(mutex_);
    std::uint64_t common_page_sizes() const REQUIRES(mutex_);
    Result<> check_page_sizes(const iommu::Domain& domain) const REQUIRES(mutex_);
    void recompute_ranges() REQUIRES(mutex_);
    void recompute_pgsize_bitmap() REQUIRES(mutex_);
    Result<AttachedDomain*> domain_for(fs::Task& task, iommu::Group& group) REQUIRES(mutex_);
    Result<> replay(fs::Task& task, iommu::Domain& domain) REQUIRES(mutex_);
    Result<> replay_one(fs::Task& task, iommu::Domain& domain, std::uint64_t iova, Mapping& mapping)
        REQUIRES(mutex_);

    Result<> change_vaddr(fs::Task& task, MappingTree::iterator found,
                          const uapi::vfio_iommu_type1_dma_map& map) REQUIRES(mutex_);
    // Pins and maps what a mapping has not yet, up to `size` bytes.
    Result<> pin_and_map(fs::Task& task, std::uint64_t iova, Mapping& mapping, std::uint64_t size)
        REQUIRES(mutex_);
    Result<mm::PhysicalRun> pin_run(fs::Task& task, std::uint64_t iova, Mapping& mapping,
                                    std::uint64_t offset, std::uint64_t bytes) REQUIRES(mutex_);
    Result<> map_in_all(fs::Task& task, std::uint64_t iova, mm::PhysicalRun run,
                        std::uint32_t protection) REQUIRES(mutex_);
    void unpin_all(Mapping& mapping) REQUIRES(mutex_);
    // The IOMMU has gone and drivers have not: what they have pinned stays, and is charged.
    void leave_to_drivers(std::uint64_t iova, Mapping& mapping) REQUIRES(mutex_);
    // Unmaps, unpins, and gives the entry back.
    MappingTree::iterator remove(MappingTree::iterator mapping) REQUIRES(mutex_);
    void remove_all() REQUIRES(mutex_);

    Result<> check_unmap(const uapi::vfio_iommu_type1_dma_unmap& unmap,
                         const uapi::vfio_bitmap& bitmap) REQUIRES(mutex_);
    // As far as the first mapping that drivers have pinned pages of: that one is answered.
    Result<std::optional<Range>> unmap_until_pinned(fs::Task& task,
                                                    const uapi::vfio_iommu_type1_dma_unmap& unmap,
                                                    std::uint64_t user_bitmap, std::uint64_t& bytes)
        REQUIRES(mutex_);
    std::uint64_t end_of(const uapi::vfio_iommu_type1_dma_unmap& unmap) const;
    // Asks every registered device to give up its pages of a mapping; no lock is held meanwhile.
    void notify_unmap(Range iovas) EXCLUDES(mutex_);
    void take_from_drivers(Range iovas) EXCLUDES(mutex_);
    bool cuts_a_mapping(std::uint64_t iova, std::uint64_t size) REQUIRES(mutex_);
    Result<> invalidate_vaddrs(std::uint64_t iova, std::uint64_t end, std::uint64_t& bytes)
        REQUIRES(mutex_);

    // type1_pages.cpp
    Result<mm::PhysAddr> pin_page(std::uint64_t iova, std::uint32_t protection) REQUIRES(mutex_);
    void unpin_page(std::uint64_t iova) REQUIRES(mutex_);
    Result<std::uint64_t> move(std::uint64_t iova, std::span<std::byte> data, bool write,
                               fs::Task& task) REQUIRES(mutex_);

    // type1_dirty.cpp
    void mark_dirty(std::uint64_t offset, std::uint64_t bytes, Mapping& mapping) REQUIRES(mutex_);
    void mark_pinned_dirty(std::uint64_t iova, Mapping& mapping) REQUIRES(mutex_);
    void mark_all_dirty() REQUIRES(mutex_);
    Result<> start_dirty_tracking() REQUIRES(mutex_);
    void stop_dirty_tracking() REQUIRES(mutex_);
    Result<> begin_tracking(Mapping& mapping) REQUIRES(mutex_);
    Result<std::int64_t> get_dirty_bitmap(fs::Task& task,
                                          const uapi::vfio_iommu_type1_dirty_bitmap_get& get)
        EXCLUDES(mutex_);
    Result<> give_dirty_bitmap(fs::Task& task, std::uint64_t iova, Mapping& mapping,
                               std::uint64_t base, std::uint64_t user_bitmap) REQUIRES(mutex_);
    void forget_dirty(Mapping& mapping) REQUIRES(mutex_);
    static Result<> check_bitmap(const uapi::vfio_bitmap& bitmap, std::uint64_t size);

    fs::Kernel& kernel_;
    const Options& options_;
    const bool v2_;
    const bool nesting_;

    Mutex mutex_;
    MappingTree mappings_ GUARDED_BY(mutex_);
    std::vector<std::unique_ptr<AttachedDomain>> domains_ GUARDED_BY(mutex_);  // newest first
    std::vector<const iommu::Group*> emulated_groups_ GUARDED_BY(mutex_);
    std::vector<DmaUser*> devices_ GUARDED_BY(mutex_);
    IovaRanges iova_ranges_ GUARDED_BY(mutex_);
    std::uint64_t pgsize_bitmap_ GUARDED_BY(mutex_);
    std::uint64_t entries_left_ GUARDED_BY(mutex_);  // dma_avail
    std::uint64_t invalid_vaddrs_ GUARDED_BY(mutex_) = 0;
    bool tracks_dirty_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::vfio
