// SPDX-License-Identifier: MIT
//
// The system calls of a task, under the names of the kernel's own functions. User pointers are
// addresses in the task's memory. Every call is recorded in the trace while that is on.

#pragma once

#include <cstdint>
#include <string_view>

#include "base/base.h"
#include "fs/task.h"
#include "mm/owned_address_space.h"

namespace kvmiommu::fs {

/// The lowest free descriptor for the node at `path`. As DeviceNodes::open(); EMFILE, after what is
/// wrong with the name itself.
Result<std::int64_t> sys_open(Task& task, std::string_view path, int flags);
/// EBADF.
Result<std::int64_t> sys_close(Task& task, int fd);
/// The lowest free descriptor for the same file. EBADF, EMFILE.
Result<std::int64_t> sys_dup(Task& task, int fd);
/// EINVAL unknown flags, EMFILE.
Result<std::int64_t> sys_eventfd2(Task& task, std::uint32_t count, int flags);
/// EINVAL a name of more than 249 bytes or unknown flags (MFD_CLOEXEC, MFD_ALLOW_SEALING and one of
/// MFD_EXEC and MFD_NOEXEC_SEAL are known; seals do nothing), EMFILE.
Result<std::int64_t> sys_memfd_create(Task& task, std::string_view name, std::uint32_t flags);
/// EINVAL a negative length or not a memfd, EBADF.
Result<std::int64_t> sys_ftruncate(Task& task, int fd, std::int64_t length);

/// EBADF; else what the file returns. FIOCLEX, FIONCLEX and FIONBIO are the VFS's own.
Result<std::int64_t> sys_ioctl(Task& task, int fd, std::uint32_t command, std::uint64_t argument);

/// Bytes moved. EBADF not open or not open for this, EFAULT memory past the end of user addresses;
/// else what the file returns.
Result<std::int64_t> sys_read(Task& task, int fd, UserBuffer to);
Result<std::int64_t> sys_write(Task& task, int fd, UserBuffer from);
/// Also EINVAL for a negative offset or bytes past 2^63, ESPIPE for a file without positions.
Result<std::int64_t> sys_pread64(Task& task, int fd, UserBuffer to, std::int64_t offset);
Result<std::int64_t> sys_pwrite64(Task& task, int fd, UserBuffer from, std::int64_t offset);

/// poll() of one descriptor without waiting: its events, POLLNVAL for one that is not open.
Result<std::int64_t> sys_poll(Task& task, int fd, std::uint32_t events);

/// The address. `mm` is the task's own memory. In this order: EINVAL an offset that is not page
/// aligned; EBADF; EINVAL no bytes; ENOMEM more bytes than user addresses; EINVAL a fixed address
/// that is not page aligned; EOVERFLOW past the longest file; EINVAL neither MAP_SHARED nor
/// MAP_PRIVATE; EACCES for what the file was not opened for; ENODEV a file that cannot be mapped;
/// ENOMEM. `alignment` as in mm::MapRequest.
Result<std::int64_t> sys_mmap(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                              std::uint64_t length, int protection, int flags, int fd,
                              std::uint64_t offset, std::uint64_t alignment = 0);
Result<std::int64_t> sys_munmap(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                                std::uint64_t length);
Result<std::int64_t> sys_mprotect(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                                  std::uint64_t length, int protection);

}  // namespace kvmiommu::fs
