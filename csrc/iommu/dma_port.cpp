// SPDX-License-Identifier: MIT

#include "iommu/dma_port.h"

#include "mm/dma_in_flight.h"

#include <algorithm>
#include <optional>

namespace kvmiommu::iommu {

namespace {
constexpr Source kDma{"kvmiommu: iommu/dma_port.h"};
}

std::unexpected<Refusal> DmaPort::fault(std::uint64_t iova, mm::Access access, FaultCause cause) {
    faults_.record(device_, iova, access, cause);
    const bool write = access == mm::Access::write;
    switch (cause) {
        case FaultCause::bus_master_off:
            return refuse(EFAULT, "DMA {:access} at {:x}: the function is no bus master", kDma,
                          write, iova);
        case FaultCause::blocked:
            return refuse(EFAULT, "DMA {:access} at {:x}: the group's DMA is blocked", kDma, write,
                          iova);
        case FaultCause::not_mapped:
            return refuse(EFAULT, "DMA {:access} at {:x}: nothing is mapped there", kDma, write,
                          iova);
        case FaultCause::not_permitted:
            return refuse(EFAULT, "DMA {:access} at {:x}: the mapping does not permit it", kDma,
                          write, iova);
        case FaultCause::no_memory:
            break;
    }
    return refuse(EFAULT, "DMA {:access} at {:x}: there is no memory at that address", kDma, write,
                  iova);
}

template <class Move>
Result<> DmaPort::transfer(std::uint64_t iova, std::size_t bytes, mm::Access access, Move&& move) {
    const mm::DmaInFlight in_flight(memory_);
    for (std::size_t done = 0; done < bytes;) {
        const std::uint64_t at = iova + done;
        std::size_t step = 0;
        const auto move_step = [&](const DmaTarget& target) {
            step = std::min<std::uint64_t>(
                {bytes - done, target.bytes, mm::kFrameSize - target.address % mm::kFrameSize});
            return move(target, done, step);
        };
        std::optional<FaultCause> cause;
        if (group_ != nullptr) {
            cause = group_->dma(device_, at, access, move_step);
        } else if (!move_step({.address = at, .bytes = mm::kFrameSize})) {
            cause = FaultCause::no_memory;
        }
        if (cause) {
            return fault(at, access, *cause);
        }
        done += step;
    }
    return {};
}

Result<> DmaPort::read(std::uint64_t iova, std::span<std::byte> to) {
    return transfer(iova, to.size(), mm::Access::read,
                    [&](const DmaTarget& from, std::size_t at, std::size_t step) {
                        return memory_.read(from.address, to.subspan(at, step));
                    });
}

Result<> DmaPort::write(std::uint64_t iova, std::span<const std::byte> from) {
    return transfer(iova, from.size(), mm::Access::write,
                    [&](const DmaTarget& to, std::size_t at, std::size_t step) {
                        const auto bytes = from.subspan(at, step);
                        // What a stale translation leads to may be free by now, and free memory
                        // stays zero: a write there is lost, as nobody could read it.
                        return to.stale ? memory_.write_if_in_use(to.address, bytes)
                                        : memory_.write(to.address, bytes);
                    });
}

}  // namespace kvmiommu::iommu
