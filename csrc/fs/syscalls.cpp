// SPDX-License-Identifier: MIT

#include "fs/syscalls.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <initializer_list>

#include "base/undo.h"
#include "fs/eventfd.h"
#include "fs/memfd.h"

namespace kvmiommu::fs {

namespace {

constexpr Source kEventfd{"fs/eventfd.c: do_eventfd"};
constexpr Source kMemfd{"mm/memfd.c: memfd_create"};
constexpr Source kTruncate{"fs/open.c: do_sys_ftruncate"};
constexpr Source kReadWrite{"fs/read_write.c: vfs_read, vfs_write"};
constexpr Source kPoll{"fs/select.c: do_poll"};
constexpr Source kMmap{"mm/mmap.c: ksys_mmap_pgoff"};

// The most bytes that a call moves (MAX_RW_COUNT).
constexpr std::uint64_t kMostMoved = 0x7ffff000;
constexpr std::size_t kLongestMemfdName = 249;
// The flags that MAP_SHARED_VALIDATE accepts (include/linux/mman.h: LEGACY_MAP_MASK).
constexpr int kOldMapFlags = MAP_SHARED_VALIDATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE |
                             MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE |
                             MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |
                             0x40;  // MAP_32BIT, which only x86 names
// Not in the headers of older C libraries.
constexpr std::uint32_t kMfdNoexecSeal = 8;
constexpr std::uint32_t kMfdExec = 16;

// Requests that every file handles (include/uapi/asm-generic/ioctls.h; POWER's own ioctls.h).
struct CommonRequests {
    std::uint32_t fioclex;
    std::uint32_t fionclex;
    std::uint32_t fionbio;
};
constexpr CommonRequests kGenericRequests{0x5451, 0x5450, 0x5421};
constexpr CommonRequests kPowerRequests{
    uapi::io('f', 1).number(uapi::Abi::power),
    uapi::io('f', 2).number(uapi::Abi::power),
    uapi::iow_bytes('f', 126, 4).number(uapi::Abi::power),
};

void trace(Task& task, const char* name, std::initializer_list<std::uint64_t> arguments,
           const Result<std::int64_t>& result) {
    TraceRecord record;
    record.task = task.id();
    record.call = name;
    std::copy(arguments.begin(), arguments.end(), record.arguments);
    if (result) {
        record.value = *result;
    } else {
        record.refusal = result.error();
    }
    task.kernel().trace().add(std::move(record));
}

// A system call: its body, then its record in the trace, then the deferred work.
template <class Body>
Result<std::int64_t> call(Task& task, const char* name,
                          std::initializer_list<std::uint64_t> arguments, Body&& body) {
    const DeferredWork::Call outermost(task.kernel().deferred_work());
    Result<std::int64_t> result = body();
    if (task.kernel().trace().on()) [[unlikely]] {
        trace(task, name, arguments, result);
    }
    return result;
}

std::uint64_t number(std::int64_t value) {
    return static_cast<std::uint64_t>(value);
}

// Returns 0 for success.
Result<std::int64_t> nothing(const Result<>& result) {
    if (!result) {
        return std::unexpected(result.error());
    }
    return 0;
}

Result<std::int64_t> install(Task& task, Ref<File> file) {
    return task.files().install(std::move(file), task.limit(Resource::nofile));
}

Result<std::int64_t> do_open(Task& task, std::string_view path, int flags) {
    TRY(DeviceNodes::check_name(path));
    const int fd = TRY(task.files().get_unused_fd(task.limit(Resource::nofile)));
    auto file = task.kernel().nodes().open(task, path, flags);
    if (!file) {
        task.files().put_unused_fd(fd);
        return std::unexpected(file.error());
    }
    task.files().fd_install(fd, *std::move(file));
    return fd;
}

Result<std::int64_t> do_close(Task& task, int fd) {
    const Ref<File> removed = TRY(task.files().remove(fd));
    return 0;
}

Result<std::int64_t> do_dup(Task& task, int fd) {
    return install(task, TRY(task.files().get(fd)));
}

Result<std::int64_t> do_eventfd(Task& task, std::uint32_t count, int flags) {
    if ((flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK)) != 0) {
        return refuse(EINVAL, "flags {:x} are not all known", kEventfd, flags);
    }
    return install(task, make<EventFd>(task.kernel(), count, flags));
}

Result<std::int64_t> do_memfd(Task& task, std::string_view name, std::uint32_t flags) {
    if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | kMfdNoexecSeal | kMfdExec)) != 0) {
        return refuse(EINVAL, "flags {:x} are not all known", kMemfd, flags);
    }
    if ((flags & kMfdNoexecSeal) != 0 && (flags & kMfdExec) != 0) {
        return refuse(EINVAL, "flags {:x}: MFD_EXEC and MFD_NOEXEC_SEAL exclude each other", kMemfd,
                      flags);
    }
    if (name.size() > kLongestMemfdName) {
        return refuse(EINVAL, "a name of {} bytes, {} are the most", kMemfd, name.size(),
                      kLongestMemfdName);
    }
    return install(task, make<MemFd>(task.kernel()));
}

Result<std::int64_t> do_ftruncate(Task& task, int fd, std::int64_t length) {
    if (length < 0) {
        return refuse(EINVAL, "a negative length", kTruncate);
    }
    const Ref<File> file = TRY(task.files().get(fd));
    auto* const memfd = dynamic_cast<MemFd*>(file.get());
    if (memfd == nullptr || !file->writable()) {
        return refuse(EINVAL, "descriptor {} is not a file whose length can be set", kTruncate, fd);
    }
    memfd->resize(static_cast<std::uint64_t>(length));
    return 0;
}

Result<std::int64_t> do_ioctl(Task& task, int fd, std::uint32_t command, std::uint64_t argument) {
    const Ref<File> file = TRY(task.files().get(fd));
    const CommonRequests& common =
        task.abi() == uapi::Abi::power ? kPowerRequests : kGenericRequests;
    if (command == common.fioclex || command == common.fionclex) {
        return 0;  // There is no exec.
    }
    if (command == common.fionbio) {
        const std::int32_t on = TRY(mm::UserPtr<std::int32_t>(argument).read(task.mm()));
        file->set_nonblocking(on != 0);
        return 0;
    }
    return file->ioctl(task, command, argument);
}

// A negative count is a huge one: it exceeds the user's addresses, which is checked first.
Result<UserBuffer> checked(UserBuffer buffer) {
    if (buffer.address > mm::kTaskSize || buffer.bytes > mm::kTaskSize - buffer.address) {
        return refuse(EFAULT, "{:x} bytes at {:x} reach past the user addresses' end", kReadWrite,
                      buffer.bytes, buffer.address);
    }
    return UserBuffer{buffer.address, std::min(buffer.bytes, kMostMoved)};
}

// rw_verify_area(): offset + bytes does not pass 2^63 - 1.
Result<UserBuffer> checked_at(UserBuffer buffer, std::int64_t offset) {
    const UserBuffer known = TRY(checked(buffer));
    if (static_cast<std::int64_t>(number(offset) + buffer.bytes) < 0) {
        return refuse(EINVAL, "{:x} bytes at offset {:x} pass the longest file", kReadWrite,
                      buffer.bytes, offset);
    }
    return known;
}

Result<> check_mode(const File& file, int fd, bool write) {
    if (!(write ? file.writable() : file.readable())) {
        return refuse(EBADF, "descriptor {} is not open for this", kReadWrite, fd);
    }
    return {};
}

Result<Ref<File>> file_to_move(Task& task, int fd, bool write) {
    Ref<File> file = TRY(task.files().get(fd));
    TRY(check_mode(*file, fd, write));
    return file;
}

Result<Ref<File>> positioned_file(Task& task, int fd, bool write, std::int64_t offset) {
    if (offset < 0) {
        return refuse(EINVAL, "a negative offset", kReadWrite);
    }
    Ref<File> file = TRY(task.files().get(fd));
    if (!file->positioned()) {
        return refuse(ESPIPE, "descriptor {} has no positions", kReadWrite, fd);
    }
    TRY(check_mode(*file, fd, write));
    return file;
}

Result<std::int64_t> do_read(Task& task, int fd, UserBuffer to) {
    const Ref<File> file = TRY(file_to_move(task, fd, false));
    return file->read(task, TRY(checked(to)));
}

Result<std::int64_t> do_write(Task& task, int fd, UserBuffer from) {
    const Ref<File> file = TRY(file_to_move(task, fd, true));
    return file->write(task, TRY(checked(from)));
}

Result<std::int64_t> do_pread(Task& task, int fd, UserBuffer to, std::int64_t offset) {
    const Ref<File> file = TRY(positioned_file(task, fd, false, offset));
    return file->pread(task, TRY(checked_at(to, offset)), number(offset));
}

Result<std::int64_t> do_pwrite(Task& task, int fd, UserBuffer from, std::int64_t offset) {
    const Ref<File> file = TRY(positioned_file(task, fd, true, offset));
    return file->pwrite(task, TRY(checked_at(from, offset)), number(offset));
}

Result<std::int64_t> do_poll(Task& task, int fd, std::uint32_t events) {
    if (fd < 0) {
        return 0;  // poll() ignores a negative descriptor.
    }
    const auto file = task.files().get(fd);
    if (!file) {
        return POLLNVAL;
    }
    return (*file)->poll() & (events | POLLERR | POLLHUP);
}

Result<std::int64_t> do_poll_and_sleep(Task& task, int fd, std::uint32_t events) {
    const Ref<File> file = TRY(task.files().get(fd));
    for (;;) {
        Sleeper sleeper;
        file->watch(sleeper);
        const Undo unwatch([&] { file->unwatch(sleeper); });
        if (const std::uint32_t found = file->poll() & (events | POLLERR | POLLHUP)) {
            return found;
        }
        switch (task.sleep_until(sleeper)) {
            case Wakeup::woken:
                break;
            case Wakeup::timed_out:
                return 0;
            case Wakeup::interrupted:
                return refuse(EINTR, "interrupted while it waited for descriptor {}", kPoll, fd);
        }
    }
}

Result<FileMapping> map_file(Task& task, File& file, const FileMapRequest& request) {
    if (request.shared && (request.protection & PROT_WRITE) != 0 && !file.writable()) {
        return refuse(EACCES, "the file is not open for writing", kMmap);
    }
    if (!file.readable()) {
        return refuse(EACCES, "the file is not open for reading", kMmap);
    }
    return file.mmap(task, request);
}

Result<std::int64_t> do_mmap(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                             std::uint64_t length, int protection, int flags, int fd,
                             std::uint64_t offset, std::uint64_t alignment) {
    const std::uint64_t page_size = mm.page_size();
    if (!is_aligned(offset, page_size)) {
        return refuse(EINVAL, "offset {:x} is not a multiple of the page size {:x}", kMmap, offset,
                      page_size);
    }
    const bool anonymous = (flags & MAP_ANONYMOUS) != 0;
    Ref<File> file;  // looked up once: another thread may close or reuse the descriptor
    if (!anonymous) {
        file = TRY(task.files().get(fd));
        if ((flags & MAP_HUGETLB) != 0) {
            return refuse(EINVAL, "MAP_HUGETLB and a file without huge pages", kMmap);
        }
    }
    if (length == 0) {
        return refuse(EINVAL, "a mapping of no bytes", kMmap);
    }
    if (length > mm::kTaskSize) {
        return refuse(ENOMEM, "{:x} bytes are more than there are user addresses", kMmap, length);
    }
    if ((flags & MAP_FIXED) != 0 && !is_aligned(address, page_size)) {
        return refuse(EINVAL, "address {:x} is not a multiple of the page size {:x}", kMmap,
                      address, page_size);
    }
    const int type = flags & MAP_TYPE;
    const bool shared = type != MAP_PRIVATE;
    mm::MapRequest request;
    request.length = align_up(length, page_size);
    request.protection = protection & (PROT_READ | PROT_WRITE | PROT_EXEC);
    request.shared = shared;
    request.alignment = alignment;
    if ((flags & MAP_FIXED) != 0) {
        request.fixed = address;
    }
    if (!anonymous) {
        const std::uint64_t longest = file->longest();
        if (offset > longest || request.length > longest - offset) {
            return refuse(EOVERFLOW, "offset {:x} and {:x} bytes pass the longest file", kMmap,
                          offset, length);
        }
    }
    if (type != MAP_SHARED && type != MAP_PRIVATE && (type != MAP_SHARED_VALIDATE || anonymous)) {
        return refuse(EINVAL, "flags {:x} say neither MAP_SHARED nor MAP_PRIVATE", kMmap, flags);
    }
    if (type == MAP_SHARED_VALIDATE && (flags & ~kOldMapFlags) != 0) {
        return refuse(EOPNOTSUPP, "flags {:x} are not all known to this file", kMmap, flags);
    }
    if ((flags & MAP_HUGETLB) != 0) {
        return refuse(ENOMEM, "the machine has set no huge pages aside", kMmap);
    }
    if (!anonymous) {
        const FileMapping mapping =
            TRY(map_file(task, *file, {request.length, offset, request.protection, shared}));
        request.backing = mapping.backing;
        request.offset = mapping.offset;
        if (shared && !file->writable()) {
            request.most_protection = PROT_READ | PROT_EXEC;
        }
    } else if (shared) {
        request.backing = make<mm::Shmem>(task.kernel().census(), task.kernel().memory(), page_size,
                                          request.length);
    }
    return static_cast<std::int64_t>(TRY(mm.map(request)));
}

}  // namespace

Result<std::int64_t> sys_open(Task& task, std::string_view path, int flags) {
    return call(task, "open", {number(flags)}, [&] { return do_open(task, path, flags); });
}

Result<std::int64_t> sys_close(Task& task, int fd) {
    return call(task, "close", {number(fd)}, [&] { return do_close(task, fd); });
}

Result<std::int64_t> sys_dup(Task& task, int fd) {
    return call(task, "dup", {number(fd)}, [&] { return do_dup(task, fd); });
}

Result<std::int64_t> sys_eventfd2(Task& task, std::uint32_t count, int flags) {
    return call(task, "eventfd2", {count, number(flags)},
                [&] { return do_eventfd(task, count, flags); });
}

Result<std::int64_t> sys_memfd_create(Task& task, std::string_view name, std::uint32_t flags) {
    return call(task, "memfd_create", {flags}, [&] { return do_memfd(task, name, flags); });
}

Result<std::int64_t> sys_ftruncate(Task& task, int fd, std::int64_t length) {
    return call(task, "ftruncate", {number(fd), number(length)},
                [&] { return do_ftruncate(task, fd, length); });
}

Result<std::int64_t> sys_ioctl(Task& task, int fd, std::uint32_t command, std::uint64_t argument) {
    return call(task, "ioctl", {number(fd), command, argument},
                [&] { return do_ioctl(task, fd, command, argument); });
}

Result<std::int64_t> sys_read(Task& task, int fd, UserBuffer to) {
    return call(task, "read", {number(fd), to.address, to.bytes},
                [&] { return do_read(task, fd, to); });
}

Result<std::int64_t> sys_write(Task& task, int fd, UserBuffer from) {
    return call(task, "write", {number(fd), from.address, from.bytes},
                [&] { return do_write(task, fd, from); });
}

Result<std::int64_t> sys_pread64(Task& task, int fd, UserBuffer to, std::int64_t offset) {
    return call(task, "pread64", {number(fd), to.bytes, number(offset)},
                [&] { return do_pread(task, fd, to, offset); });
}

Result<std::int64_t> sys_pwrite64(Task& task, int fd, UserBuffer from, std::int64_t offset) {
    return call(task, "pwrite64", {number(fd), from.bytes, number(offset)},
                [&] { return do_pwrite(task, fd, from, offset); });
}

Result<std::int64_t> sys_poll(Task& task, int fd, std::uint32_t events) {
    return call(task, "poll", {number(fd), events}, [&] { return do_poll(task, fd, events); });
}

Result<std::int64_t> sys_poll_and_sleep(Task& task, int fd, std::uint32_t events) {
    return call(task, "poll", {number(fd), events},
                [&] { return do_poll_and_sleep(task, fd, events); });
}

Result<std::int64_t> sys_mmap(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                              std::uint64_t length, int protection, int flags, int fd,
                              std::uint64_t offset, std::uint64_t alignment) {
    return call(task, "mmap", {length, number(fd), offset}, [&] {
        return do_mmap(task, mm, address, length, protection, flags, fd, offset, alignment);
    });
}

Result<std::int64_t> sys_munmap(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                                std::uint64_t length) {
    return call(task, "munmap", {address, length},
                [&] { return nothing(mm.unmap(address, length)); });
}

Result<std::int64_t> sys_mprotect(Task& task, mm::OwnedAddressSpace& mm, std::uint64_t address,
                                  std::uint64_t length, int protection) {
    return call(task, "mprotect", {address, length, number(protection)},
                [&] { return nothing(mm.protect(address, length, protection)); });
}

}  // namespace kvmiommu::fs
