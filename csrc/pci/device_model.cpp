// SPDX-License-Identifier: MIT

#include "pci/device_model.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace kvmiommu::pci {

namespace {
constexpr Source kSource{"kvmiommu: pci/device_model.h"};
}

void DeviceModel::add_bar(unsigned index, Bar bar) {
    assert(index < kBars && is_power_of_two(bar.bytes));
    const std::uint32_t offset = kBar0 + 4 * index;
    const bool io = bar.kind == Bar::Kind::io;
    const std::uint32_t flags =
        io ? kBarIo : (bar.wide ? kBar64 : 0) | (bar.prefetchable ? kBarPrefetch : 0);
    const std::uint64_t mask = ~(bar.bytes - 1);
    config_.set(offset, 4, flags);
    config_.set_writable(offset, 4, static_cast<std::uint32_t>(mask));
    if (bar.wide) {
        assert(index + 1 < kBars && !io);
        config_.set_writable(offset + 4, 4, static_cast<std::uint32_t>(mask >> 32));
    }
    bars_[index] = std::move(bar);
}

Result<> DeviceModel::plug(iommu::DmaPort& dma, mm::PhysicalMemory& memory) {
    dma_ = &dma;
    for (unsigned index = 0; index < kBars; ++index) {
        for (const Range& range : bars_[index].memory) {
            stretches_.push_back(
                { index, range, TRY(mm::DeviceMemory::create(memory, range.size())) });
        }
    }
    plugged();
    return {};
}

DeviceModel::Stretch* DeviceModel::stretch(unsigned bar, std::uint64_t offset) {
    const auto found = std::find_if(stretches_.begin(), stretches_.end(), [&](const Stretch& it) {
        return it.bar == bar && it.range.contains(offset);
    });
    return found == stretches_.end() ? nullptr : &*found;
}

std::span<std::byte> DeviceModel::memory(unsigned bar, std::uint64_t offset, std::uint64_t bytes) {
    Stretch* const found = stretch(bar, offset);
    if (found == nullptr || bytes == 0 || bytes - 1 > found->range.last - offset) {
        return {};
    }
    return found->memory.bytes().subspan(offset - found->range.start, bytes);
}

Result<mm::HeldFrames> DeviceModel::frames(unsigned bar, std::uint64_t offset, std::uint64_t bytes,
                                           std::uint64_t page_size) {
    Stretch* const found = stretch(bar, offset);
    if (found == nullptr || !bars_[bar].is_memory(offset, page_size)) {
        return refuse(EFAULT, "the page at offset {:x} of BAR {} has registers, not memory alone",
                      kSource, offset, bar);
    }
    return found->memory.frames(offset - found->range.start, bytes);
}

void DeviceModel::reset() {
    interrupts_.reset();
    for (Stretch& stretch : stretches_) {
        const auto bytes = stretch.memory.bytes();
        std::memset(bytes.data(), 0, bytes.size());
    }
    reset_registers();
}

Result<> DeviceModel::check_bus_master(std::uint64_t iova, mm::Access access) {
    assert(dma_ != nullptr);
    if ((config_.read(kCommand, 2) & kCommandMaster) == 0) {
        return dma_->fault(iova, access, iommu::FaultCause::bus_master_off);
    }
    return {};
}

Result<> DeviceModel::dma_read(std::uint64_t iova, std::span<std::byte> to) {
    TRY(check_bus_master(iova, mm::Access::read));
    return dma_->read(iova, to);
}

Result<> DeviceModel::dma_write(std::uint64_t iova, std::span<const std::byte> from) {
    TRY(check_bus_master(iova, mm::Access::write));
    return dma_->write(iova, from);
}

}  // namespace kvmiommu::pci
