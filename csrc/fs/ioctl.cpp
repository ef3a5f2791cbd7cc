// SPDX-License-Identifier: MIT

#include "fs/ioctl.h"

namespace kvmiommu::fs {

namespace {

constexpr Source kVfio{"Documentation/driver-api/vfio.rst: argsz"};
constexpr Source kIommufd{"drivers/iommu/iommufd/main.c: iommufd_fops_ioctl"};

std::uint32_t first_word(const std::byte* block) {
    std::uint32_t word;
    std::memcpy(&word, block, sizeof word);
    return word;
}

// copy_struct_from_user().
Result<> take_sized(const IoctlShape& shape, IoctlCall& call) {
    mm::AddressSpace& mm = call.task.mm();
    TRY(mm.copy_from_user(call.block, call.argument, sizeof(std::uint32_t)));
    const std::uint32_t given = first_word(call.block);
    call.given = given;
    if (given < shape.smallest) {
        return refuse(EINVAL, "a struct of {} bytes, the smallest has {}", kIommufd, given,
                      shape.smallest);
    }
    const std::uint32_t known = std::min<std::uint32_t>(given, shape.size);
    for (std::uint64_t at = known; at < given;) {
        // No piece crosses a page, so that a non-zero byte is found before a later fault.
        std::byte rest[64];
        const std::uint64_t to_border = sizeof rest - (call.argument + at) % sizeof rest;
        const std::uint64_t step = std::min<std::uint64_t>(to_border, given - at);
        TRY(mm.copy_from_user(rest, call.argument + at, step));
        if (std::any_of(rest, rest + step, [](std::byte byte) { return byte != std::byte{0}; })) {
            return refuse(shape.leftover, "a struct of {} bytes asks for more than the {} known",
                          kIommufd, given, shape.size);
        }
        at += step;
    }
    std::memset(call.block, 0, shape.size);
    TRY(mm.copy_from_user(call.block, call.argument, known));
    // Another thread may have changed the size since: the handler gets the one that was checked.
    std::memcpy(call.block, &given, sizeof given);
    return {};
}

}  // namespace

Result<> copy_block_in(const IoctlShape& shape, IoctlCall& call) {
    if (shape.framing == Framing::iommufd) {
        return take_sized(shape, call);
    }
    call.reply_bytes = shape.smallest;
    call.given = shape.smallest;
    TRY(call.task.mm().copy_from_user(call.block, call.argument, shape.smallest));
    std::memset(call.block + shape.smallest, 0, shape.size - shape.smallest);
    if (shape.framing != Framing::vfio) {
        return {};
    }
    call.given = first_word(call.block);
    if (call.given < shape.smallest) {
        return refuse(EINVAL, "argsz {} is below {}, the smallest struct of this request", kVfio,
                      call.given, shape.smallest);
    }
    return {};
}

Result<> copy_block_out(const IoctlCall& call, std::uint64_t bytes) {
    return call.task.mm().copy_to_user(call.argument, call.block, bytes);
}

}  // namespace kvmiommu::fs
