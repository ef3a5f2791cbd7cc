// SPDX-License-Identifier: MIT
//
// Opening, extensions and VFIO_IOMMU_GET_INFO. The other parts: type1_attach.cpp, type1_map.cpp,
// type1_unmap.cpp, type1_pages.cpp, type1_dirty.cpp.

#include "vfio/type1/type1.h"

#include <cstddef>
#include <cstring>

#include "fs/ioctl_table.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kOpen{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_open"};
constexpr Source kIoctl{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_ioctl"};

constexpr auto kGetInfo = fs::vfio_row<&Type1::get_info>(
    uapi::VFIO_IOMMU_GET_INFO, &uapi::vfio_iommu_type1_info::iova_pgsizes, fs::Reply::success);
constexpr auto kMapDma =
    fs::vfio_row<&Type1::map_dma>(uapi::VFIO_IOMMU_MAP_DMA, &uapi::vfio_iommu_type1_dma_map::size);
constexpr auto kUnmapDma = fs::vfio_row<&Type1::unmap_dma>(
    uapi::VFIO_IOMMU_UNMAP_DMA, &uapi::vfio_iommu_type1_dma_unmap::size, fs::Reply::success);

constexpr fs::IoctlRow<Type1> kVersion1[] = {
    kMapDma, kUnmapDma, kGetInfo,
    fs::value_row<&Type1::no_dirty_pages>(uapi::VFIO_IOMMU_DIRTY_PAGES)};
constexpr fs::IoctlRow<Type1> kVersion2[] = {
    kMapDma, kUnmapDma, kGetInfo,
    fs::vfio_row<&Type1::dirty_pages>(uapi::VFIO_IOMMU_DIRTY_PAGES,
                                      &uapi::vfio_iommu_type1_dirty_bitmap::flags)};

constexpr fs::UnknownRequest kUnknown{ENOTTY, "request {:x} means nothing to a type1 container",
                                      kIoctl};
constexpr fs::IoctlTable<Type1> kTable1{kVersion1, kUnknown};
constexpr fs::IoctlTable<Type1> kTable2{kVersion2, kUnknown};

// 7.2 reserves the nesting type's number and knows no such container.
bool nests(const fs::Kernel& kernel) {
    return !kernel.has(fs::Interfaces::v7_2);
}

// The capabilities behind a struct. Each begins with its id, its version and the next one's offset.
class CapabilityChain {
  public:
    // `begins`: bytes of the struct in front of the first capability.
    explicit CapabilityChain(std::uint32_t begins) : begins_(begins) {}

    // `capability` begins with the header; `tail` follows it.
    template <class Capability>
    void add(std::uint16_t id, std::uint16_t version, Capability capability,
             std::span<const std::byte> tail = {}) {
        bytes_.resize(align_up(bytes_.size(), sizeof(std::uint64_t)));
        if (!bytes_.empty()) {
            const auto here = static_cast<std::uint32_t>(begins_ + bytes_.size());
            std::memcpy(bytes_.data() + last_ + offsetof(uapi::vfio_info_cap_header, next), &here,
                        sizeof here);
        }
        last_ = bytes_.size();
        capability.header = {id, version, 0};
        const auto* const raw = reinterpret_cast<const std::byte*>(&capability);
        bytes_.insert(bytes_.end(), raw, raw + sizeof capability);
        bytes_.insert(bytes_.end(), tail.begin(), tail.end());
    }
    const std::vector<std::byte>& bytes() const { return bytes_; }

  private:
    const std::uint32_t begins_;
    std::vector<std::byte> bytes_;
    std::size_t last_ = 0;
};

}  // namespace

std::int64_t Type1Driver::check_extension(std::uint64_t extension) const {
    switch (extension) {
        case uapi::VFIO_TYPE1_IOMMU:
        case uapi::VFIO_TYPE1v2_IOMMU:
        case uapi::VFIO_UNMAP_ALL:
            return 1;
        case uapi::VFIO_TYPE1_NESTING_IOMMU:
            return nests(kernel_);
        default:
            return 0;
    }
}

Result<Ref<IommuBackend>> Type1Driver::open(fs::Task& task, std::uint64_t type) {
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kOpen);
    }
    switch (type) {
        case uapi::VFIO_TYPE1_IOMMU:
            return make<Type1>(kernel_, options_, false, false);
        case uapi::VFIO_TYPE1v2_IOMMU:
            return make<Type1>(kernel_, options_, true, false);
        case uapi::VFIO_TYPE1_NESTING_IOMMU:
            return make<Type1>(kernel_, options_, true, true);
        default:
            return refuse(EINVAL, "{} is an extension, not a type of container", kOpen, type);
    }
}

Type1::Type1(fs::Kernel& kernel, const Options& options, bool v2, bool nesting)
    : IommuBackend(kernel.census(), "vfio_iommu_type1"),
      kernel_(kernel),
      options_(options),
      v2_(v2),
      nesting_(nesting),
      pgsize_bitmap_(~(kernel.page_size() - 1)),
      dma_avail_(options.dma_entry_limit) {}

Type1::~Type1() {
    DmaList::Removed removed;
    const Lock lock(mutex_);
    remove_all(removed);
    // (drivers/vfio/vfio_iommu_type1.c: vfio_release_domain)
    for (const auto& attached : domain_list_) {
        for (iommu::Group* const group : attached->groups) {
            group->detach(*attached->domain);
        }
    }
}

Result<std::int64_t> Type1::ioctl(fs::Task& task, std::uint32_t command, std::uint64_t argument) {
    return (v2_ ? kTable2 : kTable1).ioctl(*this, task, command, argument);
}

std::int64_t Type1::check_extension(std::uint64_t extension) {
    switch (extension) {
        case uapi::VFIO_TYPE1_IOMMU:
        case uapi::VFIO_TYPE1v2_IOMMU:
        case uapi::VFIO_UNMAP_ALL:
            return 1;
        case uapi::VFIO_TYPE1_NESTING_IOMMU:
            return nests(kernel_);
        case uapi::VFIO_UPDATE_VADDR: {
            // Drivers of emulated devices use the user addresses while they are invalid.
            const Lock lock(mutex_);
            return emulated_iommu_groups_.empty();
        }
        case uapi::VFIO_DMA_CC_IOMMU: {
            const Lock lock(mutex_);
            for (const auto& attached : domain_list_) {
                if (!attached->enforce_cache_coherency) {
                    return 0;
                }
            }
            return 1;
        }
        default:
            return 0;
    }
}

Result<std::int64_t> Type1::get_info(fs::Block<uapi::vfio_iommu_type1_info> info) {
    CapabilityChain chain(sizeof(uapi::vfio_iommu_type1_info));
    {
        const Lock lock(mutex_);
        info->iova_pgsizes = pgsize_bitmap_;
        // The size of a bitmap in bytes, at most.
        constexpr std::uint64_t kLargestBitmap = std::uint64_t{1} << 28;
        chain.add(
            uapi::VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1,
            uapi::vfio_iommu_type1_info_cap_migration{.header = {},
                                                      .flags = 0,
                                                      .pgsize_bitmap = pgsize(),
                                                      .max_dirty_bitmap_size = kLargestBitmap});
        chain.add(uapi::VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1,
                  uapi::vfio_iommu_type1_info_dma_avail{
                      .header = {}, .avail = static_cast<std::uint32_t>(dma_avail_)});
        if (!iova_list_.empty()) {
            std::vector<uapi::vfio_iova_range> ranges;
            for (const Range& range : iova_list_.ranges()) {
                ranges.push_back({range.start, range.last});
            }
            chain.add(uapi::VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1,
                      uapi::vfio_iommu_type1_info_cap_iova_range{
                          .header = {},
                          .nr_iovas = static_cast<std::uint32_t>(ranges.size()),
                          .reserved = 0},
                      std::as_bytes(std::span(ranges)));
        }
    }
    constexpr std::uint64_t kSize = sizeof(uapi::vfio_iommu_type1_info);
    info.reply(info->argsz);
    info->flags = uapi::VFIO_IOMMU_INFO_PGSIZES | uapi::VFIO_IOMMU_INFO_CAPS;
    if (info->argsz < kSize + chain.bytes().size()) {
        info->argsz = static_cast<std::uint32_t>(kSize + chain.bytes().size());
        return 0;
    }
    TRY(info.task().mm().copy_to_user(info.user().address() + kSize, chain.bytes().data(),
                                      chain.bytes().size()));
    info->cap_offset = kSize;
    return 0;
}

}  // namespace kvmiommu::vfio
