// SPDX-License-Identifier: MIT
//
// A type1 container of version 2 with three groups that may join: one behind an IOMMU with 4 KiB
// pages, one behind an IOMMU of another kind with none below 64 KiB, and one without an IOMMU.

#pragma once

#include <span>
#include <string>

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/iommu.h"
#include "support.h"
#include "uapi/vfio.h"
#include "vfio/dma_user.h"
#include "vfio/module.h"
#include "vfio/type1/type1.h"

namespace kvmiommu::test {

inline constexpr std::uint64_t kPage = 4096;

class Type1Scene {
  public:
    Type1Scene() {
        fine.add_device(fine_device_);
        coarse.add_device(coarse_device_);
        for (iommu::Group* const group : {&fine, &coarse}) {
            owned_.push_back(value(iommu::DmaOwnership::of(*group, this)));
        }
    }
    ~Type1Scene() {
        container = nullptr;
        owned_.clear();
    }

    std::string join(iommu::Group& group) { return join(group, process); }
    std::string join(iommu::Group& group, Process& caller) {
        return outcome(container->attach_group(
            caller.task, group,
            &group == &soft ? vfio::GroupType::emulated : vfio::GroupType::iommu));
    }
    void leave(iommu::Group& group) { container->detach_group(group); }

    std::string map(std::uint64_t iova, std::uint64_t address, std::uint64_t size) {
        return call(uapi::VFIO_IOMMU_MAP_DMA, map_request(iova, address, size, 3));
    }
    std::string map(Process& caller, std::uint64_t iova, std::uint64_t address, std::uint64_t size,
                    std::uint32_t flags) {
        return call(caller, caller.map(kPage), uapi::VFIO_IOMMU_MAP_DMA,
                    map_request(iova, address, size, flags));
    }
    std::string unmap(std::uint64_t iova, std::uint64_t size, std::uint32_t flags = 0) {
        const uapi::vfio_iommu_type1_dma_unmap request{
            .argsz = sizeof request, .flags = flags, .iova = iova, .size = size};
        return call(uapi::VFIO_IOMMU_UNMAP_DMA, request);
    }
    /// With the dirty bits of the range to `bitmap`, in pages of `pgsize`.
    std::string unmap_dirty(std::uint64_t iova, std::uint64_t size, std::uint64_t bitmap,
                            std::uint64_t pgsize = kPage) {
        return unmap_dirty(block_, iova, size, bitmap, pgsize);
    }
    std::string unmap_dirty(std::uint64_t block, std::uint64_t iova, std::uint64_t size,
                            std::uint64_t bitmap, std::uint64_t pgsize) {
        struct {
            uapi::vfio_iommu_type1_dma_unmap unmap;
            uapi::vfio_bitmap bitmap;
        } request{};
        request.unmap.argsz = sizeof request;
        request.unmap.flags = uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
        request.unmap.iova = iova;
        request.unmap.size = size;
        request.bitmap = bitmap_of(size, bitmap, pgsize);
        return call(process, block, uapi::VFIO_IOMMU_UNMAP_DMA, request);
    }
    std::string track(bool on) { return track(block_, on); }
    std::string track(std::uint64_t block, bool on) {
        const uapi::vfio_iommu_type1_dirty_bitmap request{
            .argsz = sizeof request,
            .flags = on ? uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_START
                        : uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP};
        return call(process, block, uapi::VFIO_IOMMU_DIRTY_PAGES, request);
    }
    std::string dirty(std::uint64_t iova, std::uint64_t size, std::uint64_t bitmap,
                      std::uint64_t pgsize = kPage) {
        return dirty(block_, iova, size, bitmap, pgsize);
    }
    std::string dirty(std::uint64_t block, std::uint64_t iova, std::uint64_t size,
                      std::uint64_t bitmap, std::uint64_t pgsize) {
        struct {
            uapi::vfio_iommu_type1_dirty_bitmap dirty;
            uapi::vfio_iommu_type1_dirty_bitmap_get get;
        } request{};
        request.dirty.argsz = sizeof request;
        request.dirty.flags = uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
        request.get.iova = iova;
        request.get.size = size;
        request.get.bitmap = bitmap_of(size, bitmap, pgsize);
        return call(process, block, uapi::VFIO_IOMMU_DIRTY_PAGES, request);
    }
    std::string pin(std::uint64_t iova, std::uint64_t pages = 1) {
        std::vector<mm::PhysAddr> addresses(pages);
        return outcome(container->pin_pages(process.task, iova, iommu::kRead, addresses));
    }

    template <class Request>
    std::string call(Process& caller, std::uint64_t block, uapi::Request request,
                     const Request& argument) {
        caller.store(block, argument);
        return outcome(container->ioctl(caller.task, request.number(uapi::Abi::generic), block));
    }
    template <class Request>
    std::string call(uapi::Request request, const Request& argument) {
        return call(process, block_, request, argument);
    }
    static uapi::vfio_iommu_type1_dma_map map_request(std::uint64_t iova, std::uint64_t address,
                                                      std::uint64_t size, std::uint32_t flags) {
        return {.argsz = sizeof(uapi::vfio_iommu_type1_dma_map),
                .flags = flags,
                .vaddr = address,
                .iova = iova,
                .size = size};
    }

    std::uint64_t charged() { return process.mm->locked_vm().pages(); }
    std::uint64_t pins() { return machine.memory().total_pins(); }

    Machine machine;
    Process process{machine};
    const vfio::Options options;
    iommu::Group fine{1};
    iommu::Group coarse{2};
    iommu::Group soft{3};
    Ref<vfio::Type1> container = make<vfio::Type1>(machine.kernel, options, true, false);

  private:
    static uapi::vfio_bitmap bitmap_of(std::uint64_t size, std::uint64_t bitmap,
                                       std::uint64_t pgsize) {
        return {.pgsize = pgsize,
                .size = (size / pgsize + 63) / 64 * sizeof(std::uint64_t),
                .data = bitmap};
    }

    iommu::IntelOps intel_ops_{machine.memory()};
    iommu::AmdOps amd_ops_{machine.memory()};
    const iommu::IommuDevice dmar_{
        .name = "dmar0", .page_sizes = 0x40201000, .isolated_msi = true, .reserved = {}};
    const iommu::IommuDevice ivhd_{.name = "ivhd0",
                                   .address_width = 64,
                                   .page_sizes = 0xfff7ffffff000 & ~std::uint64_t{0xf000},
                                   .enforces_cache_coherency = true,
                                   .isolated_msi = true,
                                   .reserved = {}};
    iommu::Device fine_device_{"0000:00:01.0", intel_ops_, dmar_};
    iommu::Device coarse_device_{"0000:00:02.0", amd_ops_, ivhd_};
    const std::uint64_t block_ = process.map(kPage);
    std::vector<iommu::DmaOwnership> owned_;
};

}  // namespace kvmiommu::test
