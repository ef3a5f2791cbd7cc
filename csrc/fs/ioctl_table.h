// SPDX-License-Identifier: MIT
//
// The requests of one kind of file, by number, and the decoding of a call: the struct is copied in
// and its size checked, the row's function is called, the struct is copied out. The checks are
// those of fs/ioctl.c, drivers/vfio, virt/kvm and drivers/iommu/iommufd/main.c (fs/ioctl.h).

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "fs/ioctl.h"

namespace kvmiommu::fs {

/// The refusal of a number that no row has.
struct UnknownRequest {
    int error;
    ReasonText<1> reason;  // its {:x} stands for the number
    Source source;
};

template <class Object>
class IoctlTable {
  public:
    /// `rows` outlive the table. A number that is not among them is looked up in `otherwise`, or is
    /// refused as `unknown` if that is null.
    template <std::size_t Count>
    consteval IoctlTable(const IoctlRow<Object> (&rows)[Count], UnknownRequest unknown,
                         const IoctlTable* otherwise = nullptr)
        : rows_(rows), unknown_(unknown), otherwise_(otherwise) {
        static_assert(Count <= kMostRows);
        first_.fill(kNone);
        // From the back, so that rows with one _IOC_NR() are chained in their order.
        for (std::size_t at = Count; at-- != 0;) {
            std::uint8_t& first = first_[slot(rows[at].shape.generic_number)];
            next_[at] = first;
            first = static_cast<std::uint8_t>(at);
        }
    }

    /// The row of a number, or null. Does not access the caller's memory.
    const IoctlRow<Object>* find(uapi::Abi abi, std::uint32_t command) const {
        for (std::uint8_t at = first_[slot(command)]; at != kNone; at = next_[at]) {
            if (rows_[at].shape.number(abi) == command) {
                return &rows_[at];
            }
        }
        return otherwise_ == nullptr ? nullptr : otherwise_->find(abi, command);
    }

    /// Performs a request on `object`.
    /// UnknownRequest::error no row has the number
    /// and what perform() says
    Result<std::int64_t> ioctl(Object& object, Task& task, std::uint32_t command,
                               std::uint64_t argument) const {
        if (const IoctlRow<Object>* const row = find(task.abi(), command)) [[likely]] {
            return perform(*row, object, task, argument);
        }
        return unknown(command);
    }

    std::unexpected<Refusal> unknown(std::uint32_t command) const {
        return refuse(unknown_.error, unknown_.reason, unknown_.source, command);
    }

    /// Performs the request of a row.
    /// and what copy_block_in() says
    /// and what the row's function says
    /// EFAULT the struct cannot be written back; the function has succeeded
    static Result<std::int64_t> perform(const IoctlRow<Object>& row, Object& object, Task& task,
                                        std::uint64_t argument) {
        IoctlCall call{task, argument};
        if (row.shape.framing == Framing::value) {
            return row.function(object, call);
        }
        alignas(8) std::byte block[kLargestBlock];
        call.block = block;
        if (const auto copied = copy_block_in(row.shape, call); !copied) [[unlikely]] {
            return std::unexpected(copied.error());
        }
        Result<std::int64_t> result = row.function(object, call);
        if (result && row.shape.reply == Reply::success) {
            if (const auto copied = copy_block_out(call, call.reply_bytes); !copied) [[unlikely]] {
                return std::unexpected(copied.error());
            }
        }
        return result;
    }

  private:
    static constexpr std::uint8_t kNone = 0xff;
    static constexpr std::size_t kMostRows = 64;

    // _IOC_NR(): the same bits in both encodings.
    static constexpr std::uint8_t slot(std::uint32_t command) {
        return static_cast<std::uint8_t>(command);
    }

    const IoctlRow<Object>* rows_;
    UnknownRequest unknown_;
    const IoctlTable* otherwise_;
    std::array<std::uint8_t, 256> first_{};       // a row of each _IOC_NR(), or kNone
    std::array<std::uint8_t, kMostRows> next_{};  // the next one of the same _IOC_NR()
};

}  // namespace kvmiommu::fs
