// SPDX-License-Identifier: MIT
//
// The docstrings of the methods of _core.Process. Each begins with the signature, which
// inspect.signature() parses up to the line "--".

#pragma once

namespace kvmiommu::docs {

inline constexpr char kExit[] = R"(exit(self)
--

The process ends: its memory is unmapped, then its descriptors are closed.

Memory that a device holds pinned stays with the device. Calls that come later are refused: EBADF
for a descriptor, ENOMEM for memory. A second `exit()` does nothing.

Source: kernel/exit.c, do_exit.)";

inline constexpr char kOpen[] = R"(open(self, path, flags)
--

Opens a device node, such as "/dev/vfio/vfio", and returns the lowest free descriptor.

`flags` are those of `os`: O_RDWR and its like. Relative paths begin at "/". Descriptors 0 to 2 of a
new process are open: they are /dev/null.

Raises OSError: ENOENT no such name, or an empty one; ENAMETOOLONG a path of 4096 bytes or more, or
a part of more than 255; ENOTDIR a node in the place of a folder; EISDIR a folder; EACCES the user
may not; EMFILE as many descriptors as RLIMIT_NOFILE allows; else what the node says, such as EBUSY
for a VFIO group that is open.

Source: fs/open.c, do_sys_openat2; fs/namei.c, do_open.)";

inline constexpr char kClose[] = R"(close(self, fd)
--

Closes a descriptor. The file itself goes with the last reference to it.

Raises OSError: EBADF not open.)";

inline constexpr char kDup[] = R"(dup(self, fd)
--

Returns another descriptor, the lowest free one, for the same open file.

Raises OSError: EBADF not open; EMFILE as many descriptors as RLIMIT_NOFILE allows.)";

inline constexpr char kEventfd[] = R"(eventfd(self, initval=0, flags=0)
--

Returns the descriptor of a new counter, an unsigned number of 64 bits that starts at `initval`.

`flags`: EFD_SEMAPHORE, EFD_NONBLOCK, EFD_CLOEXEC. Reads and writes take 8 bytes.

Raises OSError: EINVAL unknown flags; EMFILE as many descriptors as RLIMIT_NOFILE allows.

Source: fs/eventfd.c, do_eventfd.)";

inline constexpr char kMemfdCreate[] = R"(memfd_create(self, name, flags=0)
--

Returns the descriptor of a new file in memory, of length 0; `ftruncate` gives it a length.

`flags`: MFD_CLOEXEC, MFD_ALLOW_SEALING (seals do nothing), one of MFD_EXEC and MFD_NOEXEC_SEAL.
The name means nothing.

Raises OSError: EINVAL unknown flags, or a name of more than 249 bytes; EMFILE as many descriptors
as RLIMIT_NOFILE allows.

Source: mm/memfd.c, memfd_create.)";

inline constexpr char kFtruncate[] = R"(ftruncate(self, fd, length)
--

Sets the length of a memfd in bytes. What is cut off is SIGBUS where it is mapped; pins keep it.

Raises OSError: EINVAL a negative length, or not a memfd; EBADF not open.

Source: fs/open.c, do_sys_ftruncate.)";

inline constexpr char kIoctl[] = R"(ioctl(self, fd, request, arg=0, *, timeout=None)
--

Makes a request of a file and returns its answer, which is never negative.

`request` is the number as the machine's ABI encodes it: `kvmiommu.uapi` has those of x86, and
`request.number("power")` those of POWER. `arg` is one of

- a number: passed as it is, reduced to 64 bits, so -1 is the largest one. An address in memory of
  the process is such a number;
- None: 0;
- a buffer of bytes (bytearray, array, a ctypes structure): copied into memory of the process with
  4096 zero bytes behind it, and copied back when the call has returned, also when it was refused,
  for some calls say what they wanted. A buffer that cannot be written to is copied in only.
  Pointers inside it are addresses in the process's own memory.

Few requests sleep: KVM_RUN and VFIO_GROUP_GET_DEVICE_FD while another thread runs the vcpu, or opens,
closes or resets the device. Signals end it as in `read`; TimeoutError once it has slept `timeout`
seconds.

Raises OSError: EBADF not open; ENOTTY the file does not know the request; EFAULT the argument is
not memory of the process; else what the request says. `reason` and `source` of the error say
which check refused, and where the rule is written down.

Source: fs/ioctl.c, and the file's own handler.)";

inline constexpr char kRead[] = R"(read(self, fd, length, *, timeout=None)
--

Reads up to `length` bytes at the file's position. Returns what was there, b"" at the end.

An eventfd whose counter is 0 lets the calling thread sleep, other threads run on; `interrupt` ends
it with EINTR. A signal of Python's process runs its handler within 50 ms, and what the handler raises
ends the sleep; the call raises TimeoutError once it has slept `timeout` seconds.

Raises OSError: EBADF not open, or not for reading; EFAULT a length past the end of all addresses;
EAGAIN it would sleep and is non-blocking; EINVAL the file cannot be read, or an eventfd and less
than 8 bytes.

Source: fs/read_write.c, vfs_read.)";

inline constexpr char kWrite[] = R"(write(self, fd, data, *, timeout=None)
--

Writes a buffer of bytes at the file's position. Returns how many bytes were taken.

An eventfd whose counter has no room lets the calling thread sleep, as in `read`.

Raises OSError: EBADF not open, or not for writing; EAGAIN it would sleep and is non-blocking;
EINVAL the file cannot be written, or an eventfd and not 8 bytes; ENOSPC a memfd, and the machine's
memory is used up.

Source: fs/read_write.c, vfs_write.)";

inline constexpr char kPread[] = R"(pread(self, fd, length, offset)
--

As `read`, at `offset` in bytes from the file's start; the position stays.

Raises OSError: EINVAL a negative offset, or bytes past 2**63; ESPIPE a file without positions, such
as an eventfd; else as `read`.

Source: fs/read_write.c, ksys_pread64.)";

inline constexpr char kPwrite[] = R"(pwrite(self, fd, data, offset)
--

As `write`, at `offset` in bytes from the file's start; the position stays.

Raises OSError: EINVAL a negative offset, or bytes past 2**63; ESPIPE a file without positions, such
as an eventfd; else as `write`.

Source: fs/read_write.c, ksys_pwrite64.)";

inline constexpr char kPoll[] = R"(poll(self, fd, events)
--

Returns which of `events` (`select.POLLIN` and its like) would not sleep now. It never sleeps itself.

POLLERR and POLLHUP are reported without being asked for. POLLNVAL: not open. 0 for a negative
descriptor. Files without readiness of their own, such as containers and groups, are always ready.

Source: fs/select.c, do_pollfd.)";

inline constexpr char kWait[] = R"(wait(self, fd, timeout=None)
--

Waits until a descriptor is readable: an eventfd whose counter is not 0. Returns True.

Returns False once it has waited `timeout` seconds, a number from 0 up; None is no limit, and 0 does
not wait at all. The calling thread sleeps, other threads run on; signals and `interrupt` end it as
in `read`. Nothing is read: of several that wait for a descriptor all return, and one finds the
counter. When another thread closes the descriptor the wait goes on, as poll() does in the kernel:
the open file may still become ready, through another descriptor or a device that has it.

Files without readiness of their own, such as containers and groups, are always ready.

Raises OSError: EBADF not open; EINTR interrupted, or the process exits.

Source: fs/select.c, do_poll.)";

inline constexpr char kSeconds[] = R"(seconds(timeout)
--

The timeout itself, which is None or a number of seconds from 0 up. ValueError for any other.)";

inline constexpr char kBellFileno[] = R"(fileno(self)
--

A descriptor of the host that is readable while `take` has something to return.)";

inline constexpr char kBellWatch[] = R"(watch(self, fd)
--

Watches a file from now on. Returns the number of the watch, which rings once at once.

Raises OSError EBADF.)";

inline constexpr char kBellUnwatch[] = R"(unwatch(self, number)
--

Ends a watch.)";

inline constexpr char kBellTake[] = R"(take(self)
--

The numbers of the watches that rang since this was asked last.)";

inline constexpr char kBellReadable[] = R"(readable(self, number)
--

Is the file of a watch readable?

Raises OSError EINTR: the process has exited.)";

inline constexpr char kMmap[] =
    R"(mmap(self, length, prot, flags, fd=-1, offset=0, *, address=0, align=0)
--

Maps `length` bytes, rounded up to pages, and returns the address: a real one of this Python process.

`prot` and `flags` are those of the module `mmap`. With MAP_ANONYMOUS `fd` is not looked at. `offset`
is in bytes, a multiple of the page size. `address` is looked at with MAP_FIXED alone, and must lie in
what the process has mapped or had mapped in the same mapping. `align` is the alignment of the
address in bytes, a power of two; 0 is one page, or 2 MiB for mappings of 2 MiB and more.

The memory is given at once, physically contiguous as far as the machine's fragmentation allows. A
private mapping of a file is a copy of what the file holds now.

Raises OSError, looked for in this order: EINVAL an offset that is not page aligned; EBADF `fd` is
not open; EINVAL MAP_HUGETLB and a file, no bytes; ENOMEM more bytes than there are addresses;
EINVAL a fixed address that is not page aligned; EOVERFLOW past the longest file; EINVAL neither
MAP_SHARED nor MAP_PRIVATE; EOPNOTSUPP flags that MAP_SHARED_VALIDATE does not know; ENOMEM
MAP_HUGETLB; EACCES what the file was not opened for; ENODEV a file that cannot be mapped; ENOMEM no
memory left, or a fixed address where nothing was mapped.

Source: mm/mmap.c, ksys_mmap_pgoff and do_mmap.)";

inline constexpr char kMunmap[] = R"(munmap(self, address, length)
--

Unmaps the pages of [address, address + length). Holes in it are no error.

What a device has pinned stays readable and writable for the device.

Raises OSError: EINVAL an address that is not page aligned, no bytes, or past the end of all
addresses.

Source: mm/mmap.c, do_vmi_munmap.)";

inline constexpr char kMprotect[] = R"(mprotect(self, address, length, prot)
--

Sets what the process may do with the pages of [address, address + length). No bytes: no effect.

Raises OSError: EINVAL an address that is not page aligned, or unknown bits in `prot`; EACCES more
than the mapped file was opened for; ENOMEM nothing is mapped in a part of it. What lies before the
place of the error has been changed.

Source: mm/mprotect.c, do_mprotect_pkey.)";

inline constexpr char kPeek[] = R"(_peek(self, address, length)
--

The bytes, or the name of the signal.)";

inline constexpr char kPoke[] = R"(_poke(self, address, data)
--

None, or the name of the signal.)";

inline constexpr char kViewOf[] = R"(_view(self, address, length)
--

The memory as an object with the buffer interface.)";

inline constexpr char kInterrupt[] = R"(interrupt(self)
--

A signal that has a handler: the call that sleeps, or the next one that would, fails with EINTR.

It may come from another thread of this Python process.)";

inline constexpr char kSetrlimit[] = R"(setrlimit(self, resource, soft, hard)
--

Sets the limits of a resource: `resource.RLIMIT_MEMLOCK` in bytes, `resource.RLIMIT_NOFILE` in
descriptors. None is no limit. Other resources are kept and have no effect.

Raises OSError: EINVAL an unknown resource, or `soft` above `hard`; EPERM `hard` above what it was,
without CAP_SYS_RESOURCE, or RLIMIT_NOFILE above 1048576.

Source: kernel/sys.c, do_prlimit.)";

inline constexpr char kSetUser[] = R"(_set_user(self, uid)
--

setresuid() with one id for all three.)";

inline constexpr char kUid[] = "The user that the process belongs to.";
inline constexpr char kPageSize[] = "Bytes in a page: 4096 on most machines, 65536 on others.";
inline constexpr char kLockedVm[] =
    "Bytes charged against RLIMIT_MEMLOCK as locked: VmLck of /proc/self/status.";
inline constexpr char kPinnedVm[] = "Bytes counted as pinned: VmPin of /proc/self/status.";
inline constexpr char kMappedBytes[] = "Bytes that are mapped now.";
inline constexpr char kFailNth[] =
    R"(Which of the coming allocations fails: 1 is the next one, 0 none.

A call that meets it is answered as the kernel answers when memory is short, mostly with ENOMEM, and
nothing of it may be left behind. It fails once. Read, it says how many allocations are still to
come; 0 after a call means that the call met the point.

Source: Documentation/fault-injection/fault-injection.rst, /proc/PID/fail-nth.)";

}  // namespace kvmiommu::docs
