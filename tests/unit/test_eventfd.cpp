// SPDX-License-Identifier: MIT

#include "fs/eventfd.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <thread>

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint64_t kMost = ~std::uint64_t{0} - 1;

class Counter {
  public:
    explicit Counter(std::uint64_t count = 0, int flags = EFD_NONBLOCK)
        : file(make<EventFd>(machine.kernel, count, flags)), buffer(process.map(4096)) {}

    std::string write(std::uint64_t number, std::uint64_t bytes = 8) {
        process.store(buffer, number);
        return outcome(file->write(process.task, {buffer, bytes}));
    }
    std::string read(std::uint64_t bytes = 8) {
        return outcome(file->read(process.task, {buffer + 64, bytes}));
    }
    std::uint64_t last_read() { return process.load(buffer + 64); }

    Machine machine;
    Process process{machine};
    Ref<EventFd> file;
    std::uint64_t buffer;
};

TEST_CASE("a read takes the whole counter") {
    Counter counter(3);
    CHECK(counter.write(4) == "ok");
    CHECK(counter.read() == "ok");
    CHECK(counter.last_read() == 7);
    CHECK(counter.read() == "EAGAIN");
}

TEST_CASE("a read of a semaphore takes one") {
    Counter counter(2, EFD_NONBLOCK | EFD_SEMAPHORE);
    CHECK(counter.read() == "ok");
    CHECK(counter.last_read() == 1);
    CHECK(counter.file->count() == 1);
    CHECK(counter.read() == "ok");
    CHECK(counter.read() == "EAGAIN");
}

TEST_CASE("a read takes 8 bytes or more, a write 8 and no more") {
    Counter counter(1);
    CHECK(counter.read(7) == "EINVAL");
    CHECK(counter.write(1, 7) == "EINVAL");
    CHECK(counter.write(1, 16) == "EINVAL");
    CHECK(counter.write(1, 0) == "EINVAL");
    CHECK(counter.file->count() == 1);
    CHECK(value(counter.file->read(counter.process.task, {counter.buffer, 16})) == 8);
}

TEST_CASE("the counter ends below 2^64-1") {
    Counter counter;
    CHECK(counter.write(~std::uint64_t{0}) == "EINVAL");
    CHECK(counter.write(kMost) == "ok");
    CHECK(counter.write(1) == "EAGAIN");
    CHECK(counter.write(0) == "ok");
    CHECK(counter.read() == "ok");
    CHECK(counter.last_read() == kMost);
}

TEST_CASE("a bad buffer is EFAULT, and what a read took is gone") {
    // So said Linux 6.18, asked by read() of an eventfd into address 8. (fs/eventfd.c:
    // eventfd_read)
    Counter counter(5);
    CHECK(outcome(counter.file->write(counter.process.task, {8, 8})) == "EFAULT");
    CHECK(counter.file->count() == 5);
    CHECK(outcome(counter.file->read(counter.process.task, {8, 7})) == "EINVAL");
    CHECK(outcome(counter.file->read(counter.process.task, {8, 8})) == "EFAULT");
    CHECK(counter.file->count() == 0);
}

TEST_CASE("a buffer that is no user address is EFAULT before anything is taken") {
    // So said Linux 6.18 as well: access_ok() in vfs_read().
    Counter counter(5);
    const int fd = static_cast<int>(value(counter.process.task.files().install(counter.file, 64)));
    const std::uint64_t last = ~std::uint64_t{0} - 7;
    CHECK(outcome(sys_read(counter.process.task, fd, {last, 8})) == "EFAULT");
    CHECK(outcome(sys_read(counter.process.task, fd, {last, 7})) == "EFAULT");
    CHECK(counter.file->count() == 5);
}

TEST_CASE("poll tells whether there is something to read and room to write") {
    Counter counter;
    CHECK(counter.file->poll() == POLLOUT);
    counter.write(1);
    CHECK(counter.file->poll() == (POLLIN | POLLOUT));
    counter.write(kMost - 2);
    CHECK(counter.file->poll() == (POLLIN | POLLOUT));
    counter.write(1);
    CHECK(counter.file->poll() == POLLIN);
}

TEST_CASE("the kernel's signals count to the very end, and stay there") {
    Counter counter(kMost - 1);
    counter.file->signal();
    CHECK(counter.file->poll() == POLLIN);
    counter.file->signal();
    CHECK(counter.file->poll() == (POLLIN | POLLERR));
    CHECK(counter.write(0) == "EAGAIN");
    CHECK(counter.write(1) == "EAGAIN");
    CHECK(counter.write(kMost) == "EAGAIN");
    counter.file->signal();
    CHECK(counter.file->count() == ~std::uint64_t{0});
    CHECK(counter.read() == "ok");
    CHECK(counter.last_read() == ~std::uint64_t{0});
    CHECK(counter.file->count() == 0);
}

TEST_CASE("a read waits for a write of another thread") {
    Counter counter(0, 0);
    std::thread reader([&] { CHECK(counter.read() == "ok"); });
    CHECK(counter.write(9) == "ok");
    reader.join();
    CHECK(counter.last_read() == 9);
}

TEST_CASE("a read waits for a signal of the kernel") {
    Counter counter(0, 0);
    std::thread reader([&] { CHECK(counter.read() == "ok"); });
    counter.file->signal();
    reader.join();
    CHECK(counter.last_read() == 1);
}

TEST_CASE("a write waits for room") {
    Counter counter(kMost, 0);
    std::thread writer([&] { CHECK(counter.write(5) == "ok"); });
    CHECK(counter.read() == "ok");
    CHECK(counter.last_read() == kMost);
    writer.join();
    CHECK(counter.file->count() == 5);
}

TEST_CASE("readers of a semaphore get one each") {
    Counter counter(0, EFD_SEMAPHORE);
    std::vector<std::thread> readers;
    for (std::uint64_t i = 0; i < 3; ++i) {
        readers.emplace_back([&counter, at = counter.buffer + 128 + 8 * i] {
            CHECK(outcome(counter.file->read(counter.process.task, {at, 8})) == "ok");
        });
    }
    CHECK(counter.write(4) == "ok");
    for (std::thread& reader : readers) {
        reader.join();
    }
    CHECK(counter.file->count() == 1);
}

TEST_CASE("an interrupt ends a read or a write that waits with EINTR") {
    Counter empty(0, 0);
    std::thread reader([&] { CHECK(empty.read() == "EINTR"); });
    empty.process.task.interrupt();
    reader.join();

    Counter full(kMost, 0);
    std::thread writer([&] { CHECK(full.write(1) == "EINTR"); });
    full.process.task.interrupt();
    writer.join();
    CHECK(full.file->count() == kMost);
}

TEST_CASE("an interrupt that comes early is kept for the next call that would wait, and no more") {
    Counter counter(1, 0);
    counter.process.task.interrupt();
    CHECK(counter.read() == "ok");
    CHECK(counter.read() == "EINTR");
    std::thread writer([&] { counter.file->signal(); });
    CHECK(counter.read() == "ok");
    writer.join();
}

}  // namespace
}  // namespace kvmiommu::fs
