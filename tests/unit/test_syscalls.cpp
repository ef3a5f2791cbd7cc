// SPDX-License-Identifier: MIT

#include "fs/syscalls.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint64_t kNegative = ~std::uint64_t{0};
constexpr std::uint64_t kKernelHalf = std::uint64_t{1} << 63;

// A file that can do nothing, as many of the kernel's.
class Dull final : public File {
  public:
    Dull(Kernel& kernel, int flags, bool positioned) : File(kernel, "dull", flags, positioned) {}
};

class Caller {
  public:
    explicit Caller(const test::MachineSettings& settings = {})
        : machine(settings), buffer(process.map(4 * settings.page_size)) {
        machine.kernel.nodes().add("/dev/dull", 0666,
                                   [this](Task&, int flags) -> Result<Ref<File>> {
                                       return make<Dull>(machine.kernel, flags, true);
                                   });
    }

    int install(Ref<File> file) { return value(task().files().install(std::move(file), 1024)); }
    int dull(int flags = O_RDWR, bool positioned = false) {
        return install(make<Dull>(machine.kernel, flags, positioned));
    }
    int memfd(std::int64_t bytes) {
        const auto fd = static_cast<int>(value(sys_memfd_create(task(), "", 0)));
        value(sys_ftruncate(task(), fd, bytes));
        return fd;
    }
    int eventfd(std::uint32_t count = 0) {
        return static_cast<int>(value(sys_eventfd2(task(), count, EFD_NONBLOCK)));
    }
    Result<std::int64_t> map(std::uint64_t length, int protection, int flags, int fd,
                             std::uint64_t offset = 0, std::uint64_t address = 0) {
        return sys_mmap(task(), *process.mm, address, length, protection, flags, fd, offset);
    }
    Task& task() { return process.task; }

    Machine machine;
    Process process{machine};
    std::uint64_t buffer;
};

TEST_CASE("open gives the lowest free descriptor") {
    Caller caller;
    CHECK(value(sys_open(caller.task(), "/dev/dull", O_RDWR)) == 0);
    CHECK(value(sys_open(caller.task(), "/dev/dull", O_RDWR)) == 1);
    CHECK(outcome(sys_close(caller.task(), 0)) == "ok");
    CHECK(value(sys_open(caller.task(), "/dev/dull", O_RDWR)) == 0);
}

TEST_CASE("open that is refused takes no descriptor") {
    Caller caller;
    CHECK(outcome(sys_open(caller.task(), "/dev/nosuch", O_RDWR)) == "ENOENT");
    CHECK(value(sys_open(caller.task(), "/dev/dull", O_RDWR)) == 0);
}

TEST_CASE("without a free descriptor a call says so after what is wrong with its arguments") {
    Caller caller;
    Task& task = caller.task();
    caller.eventfd();
    value(task.set_limit(7, {1, 1}));
    CHECK(outcome(sys_open(task, "/dev/dull", O_RDWR)) == "EMFILE");
    CHECK(outcome(sys_open(task, "/dev/nosuch", O_RDWR)) == "EMFILE");
    CHECK(outcome(sys_open(task, "/dev/dull/x", O_RDWR)) == "EMFILE");
    CHECK(outcome(sys_open(task, "", O_RDWR)) == "ENOENT");
    CHECK(outcome(sys_open(task, std::string(4096, 'a'), O_RDWR)) == "ENAMETOOLONG");
    CHECK(outcome(sys_dup(task, 0)) == "EMFILE");
    CHECK(outcome(sys_dup(task, 1)) == "EBADF");
    CHECK(outcome(sys_eventfd2(task, 0, 0)) == "EMFILE");
    CHECK(outcome(sys_eventfd2(task, 0, 1 << 5)) == "EINVAL");
    CHECK(outcome(sys_memfd_create(task, "x", 0)) == "EMFILE");
    CHECK(outcome(sys_memfd_create(task, "x", 0x20)) == "EINVAL");
    value(sys_close(task, 0));
    CHECK(outcome(sys_open(task, "/dev/dull", O_RDWR)) == "ok");
}

TEST_CASE("a duplicate names the same file") {
    Caller caller;
    const int fd = caller.eventfd(3);
    const auto copy = static_cast<int>(value(sys_dup(caller.task(), fd)));
    CHECK(copy == fd + 1);
    value(sys_close(caller.task(), fd));
    CHECK(value(sys_read(caller.task(), copy, {caller.buffer, 8})) == 8);
    CHECK(caller.process.load(caller.buffer) == 3);
}

TEST_CASE("a descriptor is closed once") {
    Caller caller;
    const int fd = caller.eventfd();
    CHECK(outcome(sys_close(caller.task(), fd)) == "ok");
    CHECK(outcome(sys_close(caller.task(), fd)) == "EBADF");
    CHECK(outcome(sys_close(caller.task(), -1)) == "EBADF");
}

TEST_CASE("eventfd2 knows its flags") {
    Caller caller;
    CHECK(outcome(sys_eventfd2(caller.task(), 0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)) ==
          "ok");
    CHECK(outcome(sys_eventfd2(caller.task(), 0, 2)) == "EINVAL");
}

TEST_CASE("memfd_create knows its flags and the length of a name") {
    Caller caller;
    Task& task = caller.task();
    CHECK(outcome(sys_memfd_create(task, "", 0)) == "ok");
    CHECK(outcome(sys_memfd_create(task, "x", MFD_CLOEXEC | MFD_ALLOW_SEALING)) == "ok");
    CHECK(outcome(sys_memfd_create(task, "x", 0x8)) == "ok");       // MFD_NOEXEC_SEAL
    CHECK(outcome(sys_memfd_create(task, "x", 0x10)) == "ok");      // MFD_EXEC
    CHECK(outcome(sys_memfd_create(task, "x", 0x18)) == "EINVAL");  // both
    CHECK(outcome(sys_memfd_create(task, "x", 0x20)) == "EINVAL");
    CHECK(outcome(sys_memfd_create(task, std::string(249, 'x'), 0)) == "ok");
    CHECK(outcome(sys_memfd_create(task, std::string(250, 'x'), 0)) == "EINVAL");
}

TEST_CASE("ftruncate looks at the length, then at the descriptor, then at the file") {
    Caller caller;
    Task& task = caller.task();
    const int memfd = caller.memfd(0);
    CHECK(outcome(sys_ftruncate(task, 99, -1)) == "EINVAL");
    CHECK(outcome(sys_ftruncate(task, 99, 0)) == "EBADF");
    CHECK(outcome(sys_ftruncate(task, caller.eventfd(), 0)) == "EINVAL");
    CHECK(outcome(sys_ftruncate(task, memfd, -1)) == "EINVAL");
    CHECK(outcome(sys_ftruncate(task, memfd, 4096)) == "ok");
    CHECK(outcome(sys_ftruncate(task, memfd, INT64_MAX)) == "ok");
}

TEST_CASE("read and write look at the descriptor, then at the addresses, then ask the file") {
    Caller caller;
    Task& task = caller.task();
    const int read_only = caller.dull(O_RDONLY);
    const int write_only = caller.dull(O_WRONLY);
    const int neither = caller.dull(O_ACCMODE);
    const int memfd = caller.memfd(4096);
    const UserBuffer one{caller.buffer, 1};
    const UserBuffer negative{caller.buffer, kNegative};
    CHECK(outcome(sys_read(task, 99, negative)) == "EBADF");
    CHECK(outcome(sys_read(task, write_only, negative)) == "EBADF");
    CHECK(outcome(sys_write(task, read_only, one)) == "EBADF");
    CHECK(outcome(sys_read(task, neither, one)) == "EBADF");
    CHECK(outcome(sys_write(task, neither, one)) == "EBADF");
    CHECK(outcome(sys_read(task, read_only, one)) == "EINVAL");
    CHECK(outcome(sys_write(task, write_only, one)) == "EINVAL");
    CHECK(outcome(sys_read(task, memfd, negative)) == "EFAULT");
    CHECK(outcome(sys_read(task, memfd, {caller.buffer, kKernelHalf})) == "EFAULT");
    CHECK(outcome(sys_read(task, memfd, {mm::kTaskSize, 1})) == "EFAULT");
    CHECK(outcome(sys_read(task, memfd, {kKernelHalf, 0})) == "EFAULT");
    CHECK(outcome(sys_write(task, memfd, {kKernelHalf, 0})) == "EFAULT");
    CHECK(outcome(sys_read(task, memfd, {8, 0})) == "ok");
    CHECK(outcome(sys_write(task, memfd, {8, 0})) == "ok");
    CHECK(outcome(sys_read(task, memfd, {8, 1})) == "EFAULT");
}

TEST_CASE("pread and pwrite look at the offset, the descriptor, its positions, its mode") {
    Caller caller;
    Task& task = caller.task();
    const int memfd = caller.memfd(4096);
    const int plain = caller.eventfd(1);
    const int write_only = caller.dull(O_WRONLY, true);
    const int read_only = caller.dull(O_RDONLY, true);
    const int write_only_plain = caller.dull(O_WRONLY);
    const UserBuffer to{caller.buffer, 8};
    CHECK(outcome(sys_pread64(task, 99, to, -1)) == "EINVAL");
    CHECK(outcome(sys_pread64(task, 99, to, 0)) == "EBADF");
    CHECK(outcome(sys_pread64(task, plain, to, -1)) == "EINVAL");
    CHECK(outcome(sys_pread64(task, plain, to, 0)) == "ESPIPE");
    CHECK(outcome(sys_pwrite64(task, plain, to, 0)) == "ESPIPE");
    CHECK(outcome(sys_pread64(task, write_only_plain, to, 0)) == "ESPIPE");
    CHECK(outcome(sys_pread64(task, write_only, to, 0)) == "EBADF");
    CHECK(outcome(sys_pwrite64(task, read_only, to, 0)) == "EBADF");
    CHECK(outcome(sys_pread64(task, read_only, to, 0)) == "EINVAL");
    CHECK(outcome(sys_pwrite64(task, write_only, to, 0)) == "EINVAL");
    CHECK(value(sys_pread64(task, memfd, to, 0)) == 8);
    CHECK(value(sys_pread64(task, memfd, to, 4092)) == 4);
    CHECK(value(sys_pwrite64(task, memfd, to, 4092)) == 8);
}

TEST_CASE("no byte is moved at 2^63 or beyond") {
    Caller caller;
    Task& task = caller.task();
    const int memfd = caller.memfd(4096);
    CHECK(outcome(sys_pread64(task, memfd, {caller.buffer, 8}, INT64_MAX - 7)) == "EINVAL");
    CHECK(value(sys_pread64(task, memfd, {caller.buffer, 8}, INT64_MAX - 8)) == 0);
    CHECK(value(sys_pread64(task, memfd, {caller.buffer, 0}, INT64_MAX)) == 0);
    CHECK(outcome(sys_pread64(task, memfd, {kKernelHalf, 8}, INT64_MAX)) == "EFAULT");
    CHECK(outcome(sys_pread64(task, memfd, {8, 8}, INT64_MAX)) == "EINVAL");
    CHECK(outcome(sys_pwrite64(task, memfd, {caller.buffer, 8}, INT64_MAX)) == "EINVAL");
}

TEST_CASE("an ioctl asks for the descriptor, then the VFS, then the file") {
    Caller caller;
    Task& task = caller.task();
    const int fd = static_cast<int>(value(sys_eventfd2(task, 0, 0)));
    CHECK(outcome(sys_ioctl(task, 99, 0x5451, 0)) == "EBADF");
    CHECK(outcome(sys_ioctl(task, fd, 0x1234, 8)) == "ENOTTY");
    CHECK(outcome(sys_ioctl(task, fd, 0x5451, 0)) == "ok");      // FIOCLEX
    CHECK(outcome(sys_ioctl(task, fd, 0x5450, 0)) == "ok");      // FIONCLEX
    CHECK(outcome(sys_ioctl(task, fd, 0x5421, 8)) == "EFAULT");  // FIONBIO
    caller.process.store<std::int32_t>(caller.buffer, 1);
    CHECK(outcome(sys_ioctl(task, fd, 0x5421, caller.buffer)) == "ok");
    CHECK(outcome(sys_read(task, fd, {caller.buffer, 8})) == "EAGAIN");
}

TEST_CASE("/dev/null takes everything and gives nothing") {
    Caller caller;
    Task& task = caller.task();
    const int fd = static_cast<int>(value(sys_open(task, "/dev/null", O_RDWR)));
    CHECK(value(sys_write(task, fd, {8, 100})) == 100);
    CHECK(value(sys_read(task, fd, {8, 100})) == 0);
    CHECK(value(sys_pread64(task, fd, {caller.buffer, 8}, 100)) == 0);
    CHECK(value(sys_pwrite64(task, fd, {caller.buffer, 8}, 100)) == 8);
    CHECK(outcome(sys_write(task, fd, {kKernelHalf, 1})) == "EFAULT");
    CHECK(outcome(sys_ioctl(task, fd, 0x1234, 0)) == "ENOTTY");
    CHECK(outcome(caller.map(4096, PROT_READ, MAP_PRIVATE, fd)) == "ENODEV");
}

TEST_CASE("the VFS has other numbers on POWER") {
    Caller caller({.arch = fs::Arch::ppc64le});
    Task& task = caller.task();
    const int fd = caller.eventfd();
    CHECK(outcome(sys_ioctl(task, fd, 0x5451, 0)) == "ENOTTY");
    CHECK(outcome(sys_ioctl(task, fd, 0x20006601, 0)) == "ok");      // FIOCLEX
    CHECK(outcome(sys_ioctl(task, fd, 0x20006602, 0)) == "ok");      // FIONCLEX
    CHECK(outcome(sys_ioctl(task, fd, 0x8004667e, 8)) == "EFAULT");  // FIONBIO
}

TEST_CASE("poll tells of one descriptor what was asked for") {
    Caller caller;
    Task& task = caller.task();
    const int dull = caller.dull();
    const int empty = caller.eventfd();
    CHECK(value(sys_poll(task, 99, POLLIN)) == POLLNVAL);
    CHECK(value(sys_poll(task, 99, 0)) == POLLNVAL);
    CHECK(value(sys_poll(task, -1, POLLIN)) == 0);
    CHECK(value(sys_poll(task, dull, 0xffff)) == (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM));
    CHECK(value(sys_poll(task, dull, POLLIN)) == POLLIN);
    CHECK(value(sys_poll(task, empty, POLLIN)) == 0);
    CHECK(value(sys_poll(task, empty, POLLIN | POLLOUT)) == POLLOUT);
}

TEST_CASE("mmap refuses in the kernel's order") {
    Caller caller;
    const int file = caller.memfd(8192);
    const int dull = caller.dull();
    const int read_only = caller.dull(O_RDONLY);
    const int write_only = caller.dull(O_WRONLY);
    const auto map = [&](std::uint64_t length, int protection, int flags, int fd,
                         std::uint64_t offset = 0, std::uint64_t address = 0) {
        return outcome(caller.map(length, protection, flags, fd, offset, address));
    };
    constexpr std::uint64_t kLong = std::uint64_t{1} << 48;
    constexpr std::uint64_t kFar = ~std::uint64_t{4095};

    // The offset, the descriptor, the length.
    CHECK(map(0, PROT_READ, MAP_SHARED, -1, 1) == "EINVAL");
    CHECK(map(0, PROT_READ, MAP_SHARED, -1) == "EBADF");
    CHECK(map(4096, PROT_READ, 0, -1) == "EBADF");
    CHECK(map(0, PROT_READ, MAP_SHARED, file) == "EINVAL");
    CHECK(map(4096, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, file) == "EINVAL");
    CHECK(map(kLong, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, file) == "EINVAL");
    CHECK(map(kLong, PROT_READ, 0, file) == "ENOMEM");
    CHECK(map(~std::uint64_t{0}, PROT_READ, MAP_SHARED, file) == "ENOMEM");
    // The address.
    CHECK(map(kLong, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0, caller.buffer + 1) == "ENOMEM");
    CHECK(map(4096, PROT_WRITE, MAP_SHARED | MAP_FIXED, read_only, kFar, caller.buffer + 1) ==
          "EINVAL");
    CHECK(map(4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, caller.buffer + 1) ==
          "EINVAL");
    // How long files can be.
    CHECK(map(4096, PROT_READ, MAP_SHARED, file, std::uint64_t{1} << 63) == "EOVERFLOW");
    CHECK(map(4096, PROT_READ, MAP_SHARED, file, (std::uint64_t{1} << 63) - 4096) == "EOVERFLOW");
    CHECK(map(4096, PROT_READ, MAP_SHARED, file, (std::uint64_t{1} << 63) - 8192) == "ok");
    CHECK(map(4096, PROT_READ, 0, file, std::uint64_t{1} << 63) == "EOVERFLOW");
    CHECK(map(4096, PROT_READ, MAP_SHARED, dull, std::uint64_t{1} << 63) == "ENODEV");
    CHECK(map(4096, PROT_READ, MAP_SHARED, dull, kFar) == "EOVERFLOW");
    CHECK(map(4096, PROT_WRITE, MAP_SHARED, read_only, kFar) == "EOVERFLOW");
    // The kind.
    CHECK(map(4096, PROT_READ, 0, file) == "EINVAL");
    CHECK(map(4096, PROT_READ, 0, dull) == "EINVAL");
    CHECK(map(4096, PROT_READ, MAP_ANONYMOUS, -1) == "EINVAL");
    CHECK(map(4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1) == "EINVAL");
    CHECK(map(4096, PROT_READ, MAP_SHARED_VALIDATE, file) == "ok");
    CHECK(map(4096, PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, read_only) == "EOPNOTSUPP");
    CHECK(map(4096, PROT_READ, MAP_SHARED | MAP_SYNC, file) == "ok");
    CHECK(map(4096, PROT_READ, MAP_ANONYMOUS | MAP_HUGETLB, -1) == "EINVAL");
    CHECK(map(2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1) == "ENOMEM");
    // What the file was opened for, and whether it can be mapped at all.
    CHECK(map(4096, PROT_WRITE, MAP_SHARED, read_only) == "EACCES");
    CHECK(map(4096, PROT_WRITE, MAP_PRIVATE, read_only) == "ENODEV");
    CHECK(map(4096, PROT_READ, MAP_PRIVATE, write_only) == "EACCES");
    CHECK(map(4096, PROT_WRITE, MAP_SHARED, write_only) == "EACCES");
    CHECK(map(4096, PROT_NONE, MAP_SHARED, caller.dull(O_ACCMODE)) == "EACCES");
    CHECK(map(4096, PROT_READ, MAP_SHARED, dull) == "ENODEV");
}

TEST_CASE("mmap of anonymous memory looks at neither descriptor nor offset, and at known bits") {
    Caller caller;
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
    CHECK(outcome(caller.map(4096, PROT_READ, kFlags, 99)) == "ok");
    CHECK(outcome(caller.map(4096, PROT_READ, kFlags, -1, ~std::uint64_t{4095})) == "ok");
    CHECK(outcome(caller.map(4096, PROT_READ, kFlags, -1, 1)) == "EINVAL");
    CHECK(outcome(caller.map(4096, 0xffff00, kFlags, -1)) == "ok");
    CHECK(outcome(caller.map(1, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1)) == "ok");
}

TEST_CASE("a mapping keeps its file's pages when the descriptor is closed") {
    Caller caller;
    const int fd = caller.memfd(8192);
    const auto at =
        static_cast<std::uint64_t>(value(caller.map(8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd)));
    caller.process.store<std::uint64_t>(at + 4096, 5);
    CHECK(value(sys_pread64(caller.task(), fd, {caller.buffer, 8}, 4096)) == 8);
    CHECK(caller.process.load(caller.buffer) == 5);
    value(sys_close(caller.task(), fd));
    CHECK(caller.process.load(at + 4096) == 5);
    CHECK(outcome(sys_munmap(caller.task(), *caller.process.mm, at, 8192)) == "ok");
    CHECK(caller.machine.memory().used_frames() == 4);  // the buffer's
}

TEST_CASE("mprotect and munmap are those of the address space") {
    Caller caller;
    Task& task = caller.task();
    auto& mm = *caller.process.mm;
    CHECK(outcome(sys_mprotect(task, mm, caller.buffer + 1, 4096, PROT_READ)) == "EINVAL");
    CHECK(outcome(sys_mprotect(task, mm, caller.buffer, 4096, PROT_READ)) == "ok");
    CHECK(caller.process.store_signal(caller.buffer) == mm::Signal::segv);
    CHECK(outcome(sys_munmap(task, mm, caller.buffer, 0)) == "EINVAL");
    CHECK(outcome(sys_munmap(task, mm, caller.buffer, 4096)) == "ok");
    CHECK(caller.process.load_signal(caller.buffer) == mm::Signal::segv);
}

TEST_CASE("calls stand in the trace with their answers and their reasons") {
    Caller caller;
    Task& task = caller.task();
    caller.machine.kernel.trace().keep(8);
    value(sys_eventfd2(task, 0, 0));
    CHECK(outcome(sys_ioctl(task, 0, 0x1234, 7)) == "ENOTTY");
    value(sys_close(task, 0));
    const auto records = caller.machine.kernel.trace().records();
    REQUIRE(records.size() == 3);
    CHECK(std::string(records[1].call) == "ioctl");
    CHECK(records[1].task == task.id());
    CHECK(records[1].arguments[0] == 0);
    CHECK(records[1].arguments[1] == 0x1234);
    CHECK(records[1].arguments[2] == 7);
    CHECK(records[1].count == 3);
    CHECK(std::string(records[1].file) == "eventfd");
    REQUIRE(records[1].refusal.has_value());
    CHECK(records[1].refusal->reason() == "request 0x1234 means nothing to this file");
    CHECK_FALSE(records[2].refusal.has_value());
    CHECK(std::string(records[2].call) == "close");
}

}  // namespace
}  // namespace kvmiommu::fs
