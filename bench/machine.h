// SPDX-License-Identifier: MIT
//
// A machine for benchmarks: one VT-d, one group ready to map.

#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <memory>

#include "fs/syscalls.h"
#include "guests/must.h"
#include "machine/system.h"
#include "uapi/vfio.h"

namespace kvmiommu::bench {

using guests::must;

inline machine::Description description(std::uint32_t dma_entry_limit = 65535) {
    machine::Description machine;
    machine.name = "bench";
    machine.vfio.dma_entry_limit = dma_entry_limit;
    machine.iommus.push_back(
        {"intel",
         {.name = "dmar0",
          .address_width = 48,
          .page_sizes = 0x40201000,
          .enforces_cache_coherency = true,
          .isolated_msi = true,
          .reserved = {{{0xfee00000, 0xfeefffff}, iommu::ReservedType::msi}}}});
    machine.pci.push_back({.address = "0000:00:02.0",
                           .model = "edu",
                           .driver = "vfio-pci",
                           .iommu = "dmar0",
                           .group = 1,
                           .bars = {},
                           .interrupt_line = {},
                           .hardware = {}});
    return machine;
}

/// A process with a container of version 2 and its own memory.
class Vmm {
  public:
    explicit Vmm(std::uint32_t dma_entry_limit = 65535)
        : system_(must(machine::System::create(description(dma_entry_limit)))),
          process_(must(system_->create_process())),
          block_(map(4096)) {}

    fs::Task& task() { return process_->task(); }
    int container() const { return container_; }

    std::uint64_t map(std::uint64_t bytes) {
        return static_cast<std::uint64_t>(
            must(fs::sys_mmap(task(), process_->mm(), 0, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, bytes)));
    }

    template <class Block>
    Result<std::int64_t> ioctl(int fd, uapi::Request request, const Block& block) {
        must(task().mm().copy_to_user(block_, &block, sizeof block));
        return fs::sys_ioctl(task(), fd, request.number(uapi::Abi::generic), block_);
    }
    Result<std::int64_t> ioctl(int fd, uapi::Request request, std::uint64_t value) {
        return fs::sys_ioctl(task(), fd, request.number(uapi::Abi::generic), value);
    }

    void open() {
        container_ = static_cast<int>(must(fs::sys_open(task(), "/dev/vfio/vfio", O_RDWR)));
        group_ = static_cast<int>(must(fs::sys_open(task(), "/dev/vfio/1", O_RDWR)));
        must(ioctl<std::int32_t>(group_, uapi::VFIO_GROUP_SET_CONTAINER, container_));
        must(ioctl(container_, uapi::VFIO_SET_IOMMU, std::uint64_t{uapi::VFIO_TYPE1v2_IOMMU}));
    }
    void close() {
        must(fs::sys_close(task(), group_));
        must(fs::sys_close(task(), container_));
    }

    Result<std::int64_t> map_dma(std::uint64_t iova, std::uint64_t address, std::uint64_t size) {
        return ioctl(container_, uapi::VFIO_IOMMU_MAP_DMA,
                     uapi::vfio_iommu_type1_dma_map{
                         .argsz = sizeof(uapi::vfio_iommu_type1_dma_map),
                         .flags = uapi::VFIO_DMA_MAP_FLAG_READ | uapi::VFIO_DMA_MAP_FLAG_WRITE,
                         .vaddr = address,
                         .iova = iova,
                         .size = size});
    }
    Result<std::int64_t> unmap_dma(std::uint64_t iova, std::uint64_t size) {
        return ioctl(
            container_, uapi::VFIO_IOMMU_UNMAP_DMA,
            uapi::vfio_iommu_type1_dma_unmap{.argsz = sizeof(uapi::vfio_iommu_type1_dma_unmap),
                                             .flags = 0,
                                             .iova = iova,
                                             .size = size});
    }

  private:
    std::unique_ptr<machine::System> system_;
    std::shared_ptr<machine::Process> process_;
    std::uint64_t block_;
    int container_ = -1;
    int group_ = -1;
};

}  // namespace kvmiommu::bench
