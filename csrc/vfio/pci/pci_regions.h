// SPDX-License-Identifier: MIT
//
// The BARs of an assigned PCI function: read, written and mapped.
// Rules: drivers/vfio/pci/vfio_pci_rdwr.c, and vfio_pci_core_mmap in vfio_pci_core.c.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "base/base.h"
#include "fs/file.h"
#include "fs/kernel.h"
#include "mm/backing.h"
#include "pci/function.h"
#include "vfio/pci/pci_config.h"

namespace kvmiommu::vfio {

/// An offset in the device's file: the region's index from this bit up, the offset into it below.
inline constexpr unsigned kRegionShift = 40;

class PciRegions {
  public:
    PciRegions(fs::Kernel& kernel, const pci::Function& function, const PciConfig& config)
        : kernel_(kernel), function_(function), config_(config) {}
    PciRegions(const PciRegions&) = delete;
    PciRegions& operator=(const PciRegions&) = delete;

    /// Can a BAR be mapped: memory, of a page at least or aligned to one?
    bool mappable(std::uint32_t index, std::uint64_t page_size) const;
    /// Bytes [start, last] of a BAR that hold the MSI-X table, which the user must not access.
    std::optional<Range> msix_table(std::uint32_t index) const;

    /// Returns the bytes moved, up to the end of the BAR. Of the MSI-X table a read is all ones and
    /// a write is dropped. Bytes moved before an error stay moved. (vfio_pci_bar_rw)
    /// EINVAL the device has no such BAR
    /// EINVAL `position` is past its end
    /// EIO the device's memory is disabled, or the device is in D3hot
    /// EFAULT the user's buffer cannot be accessed
    Result<std::int64_t> read(fs::Task& task, std::uint32_t index, std::uint64_t position,
                              fs::UserBuffer to);
    /// As read(), but each piece of the buffer is read before it is stored.
    Result<std::int64_t> write(fs::Task& task, std::uint32_t index, std::uint64_t position,
                               fs::UserBuffer from);
    /// The mapping holds a reference to `file`. (vfio_pci_core_mmap)
    /// EINVAL not MAP_SHARED
    /// EINVAL not a BAR that can be mapped
    /// EINVAL past the BAR's end
    Result<fs::FileMapping> map(fs::Task& task, Ref<fs::File> file,
                                const fs::FileMapRequest& request);

    /// One access of the processor, aligned to its size. I/O ports that are disabled read as all
    /// ones and drop what is written.
    /// EIO the device's memory is disabled, or the device is in D3hot
    Result<std::uint64_t> load(std::uint32_t index, std::uint64_t offset, unsigned width);
    Result<> store(std::uint32_t index, std::uint64_t offset, unsigned width, std::uint64_t value);
    /// The same at any alignment, split into the widest aligned accesses. Bytes moved before an
    /// error stay moved.
    Result<> load(std::uint32_t index, std::uint64_t offset, std::span<std::byte> to);
    Result<> store(std::uint32_t index, std::uint64_t offset, std::span<const std::byte> from);

    fs::Kernel& kernel() { return kernel_; }

  private:
    Result<std::uint64_t> within(std::uint32_t index, std::uint64_t position,
                                 std::uint64_t bytes) const;
    Result<> check_decoding(std::uint32_t index, bool& silent) const;

    fs::Kernel& kernel_;
    const pci::Function& function_;
    const PciConfig& config_;
};

/// A mapping of a BAR. An access to a trapped page is a call of the device's model.
class BarMapping final : public mm::Backing {
  public:
    BarMapping(Census& census, PciRegions& regions, pci::DeviceModel& model, std::uint32_t index,
               std::uint64_t page_size, Ref<fs::File> file)
        : Backing(census, "vfio-pci BAR"),
          regions_(regions),
          model_(model),
          index_(index),
          page_size_(page_size) {
        file_ = std::move(file);
    }

    Result<mm::HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) override {
        return model_.frames(index_, offset, bytes, page_size_);
    }
    bool trapped(std::uint64_t offset) const override {
        return !model_.bars()[index_].is_memory(offset, page_size_);
    }
    bool load(std::uint64_t offset, std::span<std::byte> to) override;
    bool store(std::uint64_t offset, std::span<const std::byte> from) override;
    bool pinnable() const override { return false; }

  private:
    PciRegions& regions_;
    pci::DeviceModel& model_;
    const std::uint32_t index_;
    const std::uint64_t page_size_;
    Ref<fs::File> file_{"a mapping of a BAR"};  // vm_file: the device stays open
};

}  // namespace kvmiommu::vfio
