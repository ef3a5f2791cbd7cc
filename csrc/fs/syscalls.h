// SPDX-License-Identifier: MIT
//
// The system calls of a task, by the names of the kernel's functions (fs/open.c, fs/read_write.c,
// fs/ioctl.c, fs/eventfd.c, mm/memfd.c, mm/mmap.c). User pointers are addresses in the task's
// memory. A new descriptor is the lowest free one. Every call is recorded in the trace while that
// is on.

#pragma once

#include <cstdint>
#include <string_view>

#include "base/base.h"
#include "fs/task.h"
#include "mm/owned_address_space.h"

namespace kvmiommu::fs {

/// Opens the node at `path` and returns its descriptor.
/// and what DeviceNodes::check_name() says
/// and what FdTable::install() says
/// and what DeviceNodes::open() says
Result<std::int64_t> sys_open(Task& task, std::string_view path, int flags);

/// EBADF the descriptor is not open
Result<std::int64_t> sys_close(Task& task, int fd);

/// Returns another descriptor of the same file.
/// EBADF the descriptor is not open
/// and what FdTable::install() says
Result<std::int64_t> sys_dup(Task& task, int fd);

/// Returns a descriptor.
/// EINVAL unknown flags
/// and what FdTable::install() says
Result<std::int64_t> sys_eventfd2(Task& task, std::uint32_t count, int flags);

/// Returns a descriptor. Seals have no effect.
/// EINVAL unknown flags
/// EINVAL MFD_EXEC with MFD_NOEXEC_SEAL
/// EINVAL the name has more than 249 bytes
/// and what FdTable::install() says
Result<std::int64_t> sys_memfd_create(Task& task, std::string_view name, std::uint32_t flags);

/// EINVAL the length is negative
/// EBADF the descriptor is not open
/// EINVAL the file is not a memfd
Result<std::int64_t> sys_ftruncate(Task& task, int fd, std::int64_t length);

/// FIOCLEX, FIONCLEX and FIONBIO are handled here, as by the VFS.
/// EBADF the descriptor is not open
/// EFAULT FIONBIO: the argument cannot be read
/// and what File::ioctl() says
Result<std::int64_t> sys_ioctl(Task& task, int fd, std::uint32_t command, std::uint64_t argument);

/// Returns the bytes moved.
/// EBADF the descriptor is not open, or not for reading, for writing
/// EFAULT the buffer exceeds the user's addresses
/// and what File::read(), File::write() says
Result<std::int64_t> sys_read(Task& task, int fd, UserBuffer to);
Result<std::int64_t> sys_write(Task& task, int fd, UserBuffer from);

/// Returns the bytes moved.
/// EINVAL the offset is negative
/// EBADF the descriptor is not open
/// ESPIPE the file is not positioned()
/// EBADF the descriptor is not open for reading, for writing
/// EFAULT the buffer exceeds the user's addresses
/// EINVAL offset + bytes passes 2^63 - 1
/// and what File::pread(), File::pwrite() says
Result<std::int64_t> sys_pread64(Task& task, int fd, UserBuffer to, std::int64_t offset);
Result<std::int64_t> sys_pwrite64(Task& task, int fd, UserBuffer from, std::int64_t offset);

/// poll() of one descriptor with timeout 0: returns its events, POLLNVAL for one that is not open,
/// 0 for a negative one. Does not fail.
Result<std::int64_t> sys_poll(Task& task, int fd, std::uint32_t events);

/// poll() of one descriptor that sleeps until one of `events` is there, or POLLERR or POLLHUP, and
/// returns them; 0: the time that the face gives the call is over.
/// EBADF the descriptor is not open, which poll() reports as an event
/// EINTR interrupted while there was none
Result<std::int64_t> sys_poll_and_sleep(Task& task, int fd, std::uint32_t events);

/// Returns the address. `mm` is the task's own address space; `alignment` as in mm::MapRequest.
/// EINVAL the offset is not a multiple of the page
/// EBADF the descriptor is not open
/// EINVAL MAP_HUGETLB of a file
/// EINVAL no bytes
/// ENOMEM more bytes than user addresses
/// EINVAL MAP_FIXED, and the address is not a multiple of the page
/// EOVERFLOW the end passes File::longest()
/// EINVAL neither MAP_SHARED nor MAP_PRIVATE, nor MAP_SHARED_VALIDATE of a file
/// EOPNOTSUPP MAP_SHARED_VALIDATE with unknown flags
/// ENOMEM MAP_HUGETLB: there are no huge pages
/// EACCES the file is not open for writing, and the mapping is shared and writable
/// EACCES the file is not open for reading
/// and what File::mmap() says
/// and what mm::OwnedAddressSpace::map() says
Result<std::int64_t> sys_mmap(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                              std::uint64_t length, int protection, int flags, int fd,
                              std::uint64_t offset, std::uint64_t alignment = 0);
/// What mm::OwnedAddressSpace::unmap() says.
Result<std::int64_t> sys_munmap(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                                std::uint64_t length);
/// What mm::OwnedAddressSpace::protect() says.
Result<std::int64_t> sys_mprotect(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                                  std::uint64_t length, int protection);

}  // namespace kvmiommu::fs
