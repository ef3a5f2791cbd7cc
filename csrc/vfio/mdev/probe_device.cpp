// SPDX-License-Identifier: MIT

#include "vfio/mdev/probe_device.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "fs/ioctl_table.h"
#include "vfio/device.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kSource{"kvmiommu: vfio/mdev/probe_device.h"};

constexpr std::uint32_t kIdentValue = 0x0001d3ab;

enum Offset : std::uint64_t {
    kIdent = 0x00,
    kStatus = 0x04,
    kIova = 0x08,
    kLength = 0x10,
    kAccess = 0x14,
    kCommand = 0x18,
    kPinned = 0x1c,
    kUnmaps = 0x20,
};

enum Command : std::uint32_t { kPin = 1, kUnpin, kReadMemory, kWriteMemory, kLoad, kStore };

constexpr fs::IoctlRow<ProbeDevice> kRows[] = {
    fs::vfio_row<&ProbeDevice::get_info>(uapi::VFIO_DEVICE_GET_INFO,
                                         &uapi::vfio_device_info::num_irqs, fs::Reply::success),
    fs::vfio_row<&ProbeDevice::get_region_info>(
        uapi::VFIO_DEVICE_GET_REGION_INFO, &uapi::vfio_region_info::offset, fs::Reply::success),
    fs::vfio_row<&ProbeDevice::get_irq_info>(uapi::VFIO_DEVICE_GET_IRQ_INFO,
                                             &uapi::vfio_irq_info::count, fs::Reply::success),
    fs::value_row<&ProbeDevice::reset>(uapi::VFIO_DEVICE_RESET),
};

constexpr fs::IoctlTable<ProbeDevice> kTable{
    kRows, {ENOTTY, "request {:x} means nothing to this device", kSource}};

}  // namespace

Result<std::int64_t> ProbeDevice::ioctl(fs::Task& task, std::uint32_t command,
                                        std::uint64_t argument) {
    return kTable.ioctl(*this, task, command, argument);
}

Result<std::int64_t> ProbeDevice::get_info(fs::Block<uapi::vfio_device_info> info) {
    info->flags = uapi::VFIO_DEVICE_FLAGS_RESET;
    info->num_regions = 1;
    info->num_irqs = 0;
    return 0;
}

Result<std::int64_t> ProbeDevice::get_region_info(fs::Block<uapi::vfio_region_info> info) {
    if (info->index != 0) {
        return refuse(EINVAL, "there is no region {}", kSource, info->index);
    }
    info->flags = uapi::VFIO_REGION_INFO_FLAG_READ | uapi::VFIO_REGION_INFO_FLAG_WRITE;
    info->cap_offset = 0;
    info->size = kRegion;
    info->offset = 0;
    return 0;
}

Result<std::int64_t> ProbeDevice::get_irq_info(fs::Block<uapi::vfio_irq_info> info) {
    return refuse(EINVAL, "there is no interrupt {}", kSource, info->index);
}

Result<std::int64_t> ProbeDevice::reset(fs::Task&, std::uint64_t) {
    unpin({0, ~std::uint64_t{0}});
    const Lock lock(mutex_);
    registers_ = {};
    return 0;
}

void ProbeDevice::close() {
    unpin({0, ~std::uint64_t{0}});
    const Lock lock(mutex_);
    registers_ = {};
}

Result<fs::FileMapping> ProbeDevice::map(fs::Task&, Ref<fs::File>, const fs::FileMapRequest&) {
    return refuse(ENODEV, "this device has registers only", kSource);
}

// The bytes that an access moves: it ends at the end of the region.
Result<std::uint64_t> ProbeDevice::check_range(std::uint64_t offset, std::uint64_t bytes) {
    if (offset >= kRegion) {
        return refuse(EINVAL, "offset {:x} is past the region's {:x} bytes", kSource, offset,
                      kRegion);
    }
    bytes = std::min(bytes, kRegion - offset);
    const bool a_register = (bytes == 4 || bytes == 8) && offset % bytes == 0;
    if (offset < kBuffer && !a_register) {
        return refuse(EINVAL, "{} bytes at {:x} are no register", kSource, bytes, offset);
    }
    return bytes;
}

Result<std::int64_t> ProbeDevice::read(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) {
    const std::uint64_t bytes = TRY(check_range(offset, to.bytes));
    std::vector<std::byte> copy(bytes);
    {
        const Lock lock(mutex_);
        if (offset >= kBuffer) {
            std::memcpy(copy.data(), registers_.buffer.data() + (offset - kBuffer), bytes);
        } else {
            const std::uint64_t value = load(offset);
            std::memcpy(copy.data(), &value, bytes);
        }
    }
    TRY(task.mm().copy_to_user(to.address, copy.data(), bytes));
    return static_cast<std::int64_t>(bytes);
}

Result<std::int64_t> ProbeDevice::write(fs::Task& task, fs::UserBuffer from, std::uint64_t offset) {
    const std::uint64_t bytes = TRY(check_range(offset, from.bytes));
    std::vector<std::byte> copy(bytes);
    TRY(task.mm().copy_from_user(copy.data(), from.address, bytes));
    std::uint64_t value = 0;
    {
        const Lock lock(mutex_);
        if (offset >= kBuffer) {
            std::memcpy(registers_.buffer.data() + (offset - kBuffer), copy.data(), bytes);
        } else {
            std::memcpy(&value, copy.data(), bytes);
            store(offset, bytes, value);
        }
    }
    if (offset == kCommand) {
        run(task, static_cast<std::uint32_t>(value));
    }
    return static_cast<std::int64_t>(bytes);
}

std::uint64_t ProbeDevice::load(std::uint64_t offset) const {
    switch (offset) {
        case kIdent:
            return kIdentValue | std::uint64_t{registers_.status} << 32;
        case kStatus:
            return registers_.status;
        case kIova:
            return registers_.iova;
        case kIova + 4:
            return registers_.iova >> 32;
        case kLength:
            return registers_.length | std::uint64_t{registers_.access} << 32;
        case kAccess:
            return registers_.access;
        case kPinned:
            return pinned_.size();
        case kUnmaps:
            return registers_.unmaps;
        default:
            return 0;
    }
}

void ProbeDevice::store(std::uint64_t offset, std::uint64_t bytes, std::uint64_t value) {
    const auto low = static_cast<std::uint32_t>(value);
    switch (offset) {
        case kIova:
            registers_.iova = bytes == 8 ? value : (registers_.iova & ~low_mask(32)) | low;
            break;
        case kIova + 4:
            registers_.iova = (registers_.iova & low_mask(32)) | std::uint64_t{low} << 32;
            break;
        case kLength:
            registers_.length = low;
            if (bytes == 8) {
                registers_.access = static_cast<std::uint32_t>(value >> 32);
            }
            break;
        case kAccess:
            registers_.access = low;
            break;
        default:
            break;  // Read only, or reserved.
    }
}

void ProbeDevice::run(fs::Task& task, std::uint32_t command) {
    Registers registers;
    {
        const Lock lock(mutex_);
        registers = registers_;
    }
    const Result<> done = execute(task, command, registers);
    const Lock lock(mutex_);
    registers_.status = done ? 0 : static_cast<std::uint32_t>(done.error().error());
    if (command == kReadMemory || command == kLoad) {
        registers_.buffer = registers.buffer;
    }
}

Result<> ProbeDevice::execute(fs::Task& task, std::uint32_t command, Registers& registers) {
    const auto iovas = Range::of(registers.iova, registers.length);
    if (!iovas) {
        return refuse(EINVAL, "{} bytes from {:x}: none, or past the end", kSource,
                      registers.length, registers.iova);
    }
    const bool through_buffer = command >= kReadMemory && command <= kStore;
    if (through_buffer && registers.length > registers.buffer.size()) {
        return refuse(EINVAL, "{} bytes, the buffer has {}", kSource, registers.length,
                      registers.buffer.size());
    }
    const std::span<std::byte> data(registers.buffer.data(), through_buffer ? registers.length : 0);
    switch (command) {
        case kPin:
            return pin(task, registers);
        case kUnpin:
            unpin(*iovas);
            return {};
        case kReadMemory:
            return device().dma_rw(task, registers.iova, data, false);
        case kWriteMemory:
            return device().dma_rw(task, registers.iova, data, true);
        case kLoad:
        case kStore:
            return move_pinned(registers, command == kStore);
        default:
            return refuse(EINVAL, "there is no command {}", kSource, command);
    }
}

// Pins the pages that are not pinned yet: the device pins each page once.
Result<> ProbeDevice::pin(fs::Task& task, const Registers& registers) {
    const std::uint64_t page_size = kernel_.page_size();
    const std::uint64_t first = align_down(registers.iova, page_size);
    const std::uint64_t bytes = align_up(registers.length + (registers.iova - first), page_size);
    const Lock pinning(pin_mutex_);
    std::vector<std::uint64_t> fresh;
    Undo undo([&] {
        pin_mutex_.assert_held();
        unpin_all(fresh);
    });
    for (std::uint64_t done = 0; done < bytes; done += page_size) {
        {
            const Lock lock(mutex_);
            if (pinned_.contains(first + done)) {
                continue;
            }
        }
        TRY(pin_page(task, first + done, registers.access));
        fresh.push_back(first + done);
    }
    undo.dismiss();
    return {};
}

Result<> ProbeDevice::pin_page(fs::Task& task, std::uint64_t iova, std::uint32_t access) {
    mm::PhysAddr page = 0;
    TRY(device().pin_pages(task, iova, access, {&page, 1}));
    const Lock lock(mutex_);
    pinned_.emplace(iova, page);
    return {};
}

void ProbeDevice::unpin(Range iovas) {
    const Lock pinning(pin_mutex_);
    std::vector<std::uint64_t> gone;
    {
        const Lock lock(mutex_);
        const auto end = pinned_.upper_bound(iovas.last);
        for (auto at = pinned_.lower_bound(align_down(iovas.start, kernel_.page_size())); at != end;
             ++at) {
            gone.push_back(at->first);
        }
    }
    unpin_all(gone);
}

// The entry is erased first: the page is accessed as long as it has one.
void ProbeDevice::unpin_all(const std::vector<std::uint64_t>& iovas) {
    for (const std::uint64_t iova : iovas) {
        {
            const Lock lock(mutex_);
            pinned_.erase(iova);
        }
        device().unpin_pages(iova, 1);
    }
}

// Accesses pinned pages by their physical addresses, also when the process has unmapped them.
Result<> ProbeDevice::move_pinned(Registers& registers, bool store) {
    const std::uint64_t page_size = kernel_.page_size();
    const Lock lock(mutex_);
    for (std::uint32_t done = 0; done < registers.length;) {
        const std::uint64_t iova = registers.iova + done;
        const auto page = pinned_.find(align_down(iova, page_size));
        if (page == pinned_.end()) {
            return refuse(EFAULT, "the page of {:x} is not pinned", kSource, iova);
        }
        const auto step = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(registers.length - done, page_size - iova % page_size));
        const std::span<std::byte> data(registers.buffer.data() + done, step);
        const mm::PhysAddr address = page->second + iova % page_size;
        if (store ? !kernel_.memory().write(address, data)
                  : !kernel_.memory().read(address, data)) {
            return refuse(EFAULT, "{:x} is no memory", kSource, address);
        }
        done += step;
    }
    return {};
}

void ProbeDevice::dma_unmap(std::uint64_t iova, std::uint64_t size) {
    {
        const Lock lock(mutex_);
        ++registers_.unmaps;
    }
    unpin({iova, iova + (size - 1)});
}

}  // namespace kvmiommu::vfio
