// SPDX-License-Identifier: MIT

#include "iommu/dma_port.h"

#include <algorithm>

namespace kvmiommu::iommu {

namespace {
constexpr Source kDma{"kvmiommu: iommu/dma_port.h"};
}

std::unexpected<Refusal> DmaPort::fault(std::uint64_t iova, mm::Access access, FaultCause cause) {
    faults_.record(device_, iova, access, cause);
    const bool write = access == mm::Access::write;
    switch (cause) {
        case FaultCause::bus_master_off:
            return refuse(EFAULT, "DMA to {:x} (write: {}): the function is no bus master", kDma,
                          iova, write);
        case FaultCause::blocked:
            return refuse(EFAULT, "DMA to {:x} (write: {}): the group's DMA is blocked", kDma, iova,
                          write);
        case FaultCause::not_mapped:
            return refuse(EFAULT, "DMA to {:x} (write: {}): nothing is mapped there", kDma, iova,
                          write);
        case FaultCause::not_permitted:
            return refuse(EFAULT, "DMA to {:x} (write: {}): the mapping does not permit it", kDma,
                          iova, write);
        case FaultCause::no_memory:
            break;
    }
    return refuse(EFAULT, "DMA to {:x} (write: {}): there is no memory at that address", kDma, iova,
                  write);
}

std::expected<DmaTarget, FaultCause> DmaPort::translate(std::uint64_t iova,
                                                        mm::Access access) const {
    if (group_ == nullptr) {
        return DmaTarget{iova};
    }
    return group_->translate(device_, iova, access);
}

template <class Move>
Result<> DmaPort::transfer(std::uint64_t iova, std::size_t bytes, mm::Access access, Move&& move) {
    for (std::size_t done = 0; done < bytes;) {
        const std::uint64_t at = iova + done;
        const std::size_t step = std::min<std::size_t>(
            bytes - done, mm::kFrameSize - static_cast<std::size_t>(at % mm::kFrameSize));
        const auto target = translate(at, access);
        if (!target) {
            return fault(at, access, target.error());
        }
        // What a stale translation leads to may be free by now, and free memory is kept zeroed: a
        // write there is lost, as nobody could see it.
        const bool lost = target->stale && access == mm::Access::write &&
                          memory_.is_ram(target->address) && !memory_.in_use(target->address);
        if (!lost && !move(target->address, done, step)) {
            return fault(at, access, FaultCause::no_memory);
        }
        done += step;
    }
    return {};
}

Result<> DmaPort::read(std::uint64_t iova, std::span<std::byte> to) {
    return transfer(iova, to.size(), mm::Access::read,
                    [&](mm::PhysAddr from, std::size_t at, std::size_t step) {
                        return memory_.read(from, to.subspan(at, step));
                    });
}

Result<> DmaPort::write(std::uint64_t iova, std::span<const std::byte> from) {
    return transfer(iova, from.size(), mm::Access::write,
                    [&](mm::PhysAddr to, std::size_t at, std::size_t step) {
                        return memory_.write(to, from.subspan(at, step));
                    });
}

}  // namespace kvmiommu::iommu
