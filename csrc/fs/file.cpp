// SPDX-License-Identifier: MIT

#include "fs/file.h"

#include <poll.h>

#include "fs/kernel.h"

namespace kvmiommu::fs {

namespace {
constexpr Source kIoctl{"fs/ioctl.c: vfs_ioctl"};
constexpr Source kRead{"fs/read_write.c: vfs_read"};
constexpr Source kWrite{"fs/read_write.c: vfs_write"};
constexpr Source kMmap{"mm/mmap.c: do_mmap"};
}  // namespace

File::File(Kernel& kernel, const char* kind, int flags, bool positioned)
    : RefCounted(kernel.census(), kind),
      flags_(flags & (O_ACCMODE | O_NONBLOCK)),
      positioned_(positioned) {}

Result<std::int64_t> File::ioctl(Task&, std::uint32_t command, std::uint64_t) {
    return refuse(ENOTTY, "request {:x} means nothing to this file", kIoctl, command);
}

Result<std::int64_t> File::read(Task&, UserBuffer) {
    return refuse(EINVAL, "this file cannot be read", kRead);
}

Result<std::int64_t> File::write(Task&, UserBuffer) {
    return refuse(EINVAL, "this file cannot be written", kWrite);
}

// A file that provides read() and is positioned() also provides pread().
Result<std::int64_t> File::pread(Task&, UserBuffer, std::uint64_t) {
    return refuse(EINVAL, "this file cannot be read", kRead);
}

Result<std::int64_t> File::pwrite(Task&, UserBuffer, std::uint64_t) {
    return refuse(EINVAL, "this file cannot be written", kWrite);
}

Result<FileMapping> File::mmap(Task&, const FileMapRequest&) {
    return refuse(ENODEV, "this file cannot be mapped", kMmap);
}

std::uint32_t File::poll() {
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

}  // namespace kvmiommu::fs
