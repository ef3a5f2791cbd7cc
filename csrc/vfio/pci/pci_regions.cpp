// SPDX-License-Identifier: MIT

#include "vfio/pci/pci_regions.h"

#include <algorithm>
#include <cstring>

#include "fs/kernel.h"
#include "fs/task.h"
#include "mm/shared_bytes.h"
#include "uapi/vfio.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kAccess{"drivers/vfio/pci/vfio_pci_rdwr.c: vfio_pci_bar_rw"};
constexpr Source kDisabled{"drivers/vfio/pci/vfio_pci_rdwr.c: vfio_pci_core_do_io_rw"};
constexpr Source kMmap{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_core_mmap"};

using namespace pci;  // The registers' names.

// The widest access that the alignment and what is left allow.
unsigned widest(std::uint64_t offset, std::uint64_t bytes) {
    for (const unsigned width : {8U, 4U, 2U}) {
        if (bytes >= width && offset % width == 0) {
            return width;
        }
    }
    return 1;
}

}  // namespace

bool PciRegions::mappable(std::uint32_t index, std::uint64_t page_size) const {
    const Bar& bar = function_.hardware->bars()[index];
    if (bar.bytes == 0 || bar.kind == Bar::Kind::io) {
        return false;
    }
    // The kernel reserves the rest of the page if a smaller BAR begins with it.
    const std::uint32_t address = function_.hardware->config().read(kBar0 + 4 * index, 4);
    return bar.bytes >= page_size || is_aligned(align_down(address, 16), page_size);
}

std::optional<Range> PciRegions::msix_table(std::uint32_t index) const {
    const ConfigSpace& config = function_.hardware->config();
    const std::uint32_t at = config.capability(kCapMsix);
    if (at == 0 || (config.read(at + kMsixTable, 4) & 7) != index) {
        return std::nullopt;
    }
    const std::uint64_t entries = (config.read(at + kMsixFlags, 2) & kMsixSizeMask) + 1;
    return Range::of(config.read(at + kMsixTable, 4) & ~7U, entries * kMsixEntryBytes);
}

Result<std::uint64_t> PciRegions::within(std::uint32_t index, std::uint64_t position,
                                         std::uint64_t bytes) const {
    const std::uint64_t size =
        index < kBars ? function_.hardware->bars()[index].bytes : 0;  // no model has a ROM
    if (size == 0) {
        return refuse(EINVAL, "the device has no region {}", kAccess, index);
    }
    if (position >= size) {
        return refuse(EINVAL, "{:x} is past the end of region {}, {:x} bytes", kAccess, position,
                      index, size);
    }
    return std::min(bytes, size - position);
}

// Ports that are not decoded read as all ones.
Result<> PciRegions::check_decoding(std::uint32_t index, bool& silent) const {
    if (function_.hardware->bars()[index].kind == Bar::Kind::io) {
        silent = (function_.hardware->config().read(kCommand, 2) & kCommandIo) == 0;
        return {};
    }
    if (!config_.memory_enabled()) {
        return refuse(EIO, "the device's memory is switched off, or the device asleep", kDisabled);
    }
    return {};
}

Result<std::uint64_t> PciRegions::load(std::uint32_t index, std::uint64_t offset, unsigned width) {
    bool silent = false;
    TRY(check_decoding(index, silent));
    if (silent) {
        return low_mask(8 * width);
    }
    std::uint64_t value = 0;
    if (const auto memory = function_.hardware->memory(index, offset, width); !memory.empty()) {
        mm::copy_shared(&value, memory.data(), width);
        return value;
    }
    return function_.hardware->read(index, offset, width) & low_mask(8 * width);
}

Result<> PciRegions::store(std::uint32_t index, std::uint64_t offset, unsigned width,
                           std::uint64_t value) {
    bool silent = false;
    TRY(check_decoding(index, silent));
    if (silent) {
        return {};
    }
    if (const auto memory = function_.hardware->memory(index, offset, width); !memory.empty()) {
        mm::copy_shared(memory.data(), &value, width);
    } else {
        function_.hardware->write(index, offset, width, value & low_mask(8 * width));
    }
    return {};
}

Result<> PciRegions::load(std::uint32_t index, std::uint64_t offset, std::span<std::byte> to) {
    for (std::size_t done = 0; done < to.size();) {
        const unsigned width = widest(offset + done, to.size() - done);
        const std::uint64_t value = TRY(load(index, offset + done, width));
        std::memcpy(to.data() + done, &value, width);
        done += width;
    }
    return {};
}

Result<> PciRegions::store(std::uint32_t index, std::uint64_t offset,
                           std::span<const std::byte> from) {
    for (std::size_t done = 0; done < from.size();) {
        const unsigned width = widest(offset + done, from.size() - done);
        std::uint64_t value = 0;
        std::memcpy(&value, from.data() + done, width);
        TRY(store(index, offset + done, width, value));
        done += width;
    }
    return {};
}

Result<std::int64_t> PciRegions::read(fs::Task& task, std::uint32_t index, std::uint64_t position,
                                      fs::UserBuffer to) {
    const std::uint64_t bytes = TRY(within(index, position, to.bytes));
    const auto table = msix_table(index);
    for (std::uint64_t done = 0; done < bytes;) {
        const std::uint64_t at = position + done;
        unsigned width = 1;
        std::uint64_t value = 0xff;
        if (!table || !table->contains(at)) {
            const bool before = table && at < table->start;
            width = widest(at, before ? std::min(bytes - done, table->start - at) : bytes - done);
            value = TRY(load(index, at, width));
        }
        TRY(task.mm().copy_to_user(to.address + done, &value, width));
        done += width;
    }
    return static_cast<std::int64_t>(bytes);
}

Result<std::int64_t> PciRegions::write(fs::Task& task, std::uint32_t index, std::uint64_t position,
                                       fs::UserBuffer from) {
    const std::uint64_t bytes = TRY(within(index, position, from.bytes));
    const auto table = msix_table(index);
    for (std::uint64_t done = 0; done < bytes;) {
        const std::uint64_t at = position + done;
        if (table && table->contains(at)) {
            done += std::min(bytes - done, table->last - at + 1);  // the buffer is not read
            continue;
        }
        const bool before = table && at < table->start;
        const unsigned width =
            widest(at, before ? std::min(bytes - done, table->start - at) : bytes - done);
        std::uint64_t value = 0;
        TRY(task.mm().copy_from_user(&value, from.address + done, width));
        TRY(store(index, at, width, value));
        done += width;
    }
    return static_cast<std::int64_t>(bytes);
}

Result<fs::FileMapping> PciRegions::map(fs::Task& task, Ref<fs::File> file,
                                        const fs::FileMapRequest& request) {
    const std::uint64_t index = request.offset >> kRegionShift;
    const std::uint64_t offset = request.offset & low_mask(kRegionShift);
    if (!request.shared) {
        return refuse(EINVAL, "regions of a device are mapped with MAP_SHARED", kMmap);
    }
    const std::uint64_t page_size = task.mm().page_size();
    if (index >= uapi::VFIO_PCI_ROM_REGION_INDEX ||
        !mappable(static_cast<std::uint32_t>(index), page_size)) {
        return refuse(EINVAL, "region {} cannot be mapped", kMmap, index);
    }
    const std::uint64_t size = align_up(function_.hardware->bars()[index].bytes, page_size);
    if (offset > size || request.length > size - offset) {
        return refuse(EINVAL, "{:x} bytes from {:x} of region {}, which has {:x}", kMmap,
                      request.length, offset, index, size);
    }
    return fs::FileMapping{
        make<BarMapping>(task.kernel().census(), *this, *function_.hardware,
                         static_cast<std::uint32_t>(index), page_size, std::move(file)),
        offset};
}

// An access of the processor is not within a system call, so deferred work is run here.
bool BarMapping::load(std::uint64_t offset, std::span<std::byte> to) {
    const fs::DeferredWork::Call call(regions_.kernel().deferred_work());
    return regions_.load(index_, offset, to).has_value();
}

bool BarMapping::store(std::uint64_t offset, std::span<const std::byte> from) {
    const fs::DeferredWork::Call call(regions_.kernel().deferred_work());
    return regions_.store(index_, offset, from).has_value();
}

}  // namespace kvmiommu::vfio
