// SPDX-License-Identifier: MIT

#include "fs/sleep_lock.h"

#include <poll.h>

#include <atomic>
#include <thread>
#include <vector>

#include "unit/support.h"

using namespace kvmiommu;
using namespace kvmiommu::test;

namespace {

/// A face that ends each sleep when it is told to.
class Ending final : public fs::SleepPolicy {
  public:
    fs::Wakeup sleep(fs::Sleeper& sleeper) override {
        slept.fetch_add(1);
        slept.notify_all();
        if (end) {
            return how;
        }
        sleeper.sleep();
        return fs::Wakeup::woken;
    }

    std::atomic<unsigned> slept{0};
    std::atomic<bool> end = false;
    fs::Wakeup how = fs::Wakeup::interrupted;
};

}  // namespace

TEST_CASE("a lock that a call sleeps for is held by one thread at a time") {
    Machine machine;
    Process process(machine);
    fs::SleepLock lock;
    unsigned counter = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 2000; ++i) {
                if (thread % 2 == 0) {
                    lock.lock();
                } else {
                    CHECK(outcome(lock.lock_killable(process.task)) == "ok");
                }
                ++counter;
                lock.unlock();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(counter == 8000);
}

TEST_CASE("a thread does not wait for a lock that it holds itself") {
    Machine machine;
    Process process(machine);
    fs::SleepLock lock;
    CHECK(outcome(lock.lock_killable(process.task)) == "ok");
    CHECK(outcome(lock.lock_killable(process.task)) == "ok");
    lock.lock();
    lock.unlock();
    lock.unlock();
    std::atomic<bool> taken = false;
    std::thread other([&] {
        lock.lock();
        taken = true;
        lock.unlock();
    });
    CHECK_FALSE(taken);
    lock.unlock();
    other.join();
    CHECK(taken);
}

TEST_CASE("the face and the end of the process end the sleep for a lock, a signal does not") {
    Machine machine;
    Ending policy;
    machine.kernel.set_sleep_policy(policy);
    Process process(machine);
    fs::SleepLock lock;
    lock.lock();
    std::string said;
    const auto sleep = [&] { said = outcome(lock.lock_killable(process.task)); };

    policy.end = true;
    std::thread(sleep).join();
    CHECK(said == "EINTR");

    policy.end = false;
    std::thread waiting(sleep);
    policy.slept.wait(1);
    process.task.interrupt();
    process.task.exit();
    waiting.join();
    CHECK(said == "EINTR");
    lock.unlock();
    std::thread(sleep).join();
    CHECK(said == "ok");
}

TEST_CASE("a sleep that the face ends is EINTR") {
    Machine machine;
    Ending policy;
    policy.end = true;
    machine.kernel.set_sleep_policy(policy);
    Process process(machine);
    const std::uint64_t buffer = process.map(4096);
    const auto fd = static_cast<int>(value(fs::sys_eventfd2(process.task, 0, 0)));
    CHECK(outcome(fs::sys_read(process.task, fd, {buffer, 8})) == "EINTR");
    process.store<std::uint64_t>(buffer, 3);
    CHECK(outcome(fs::sys_write(process.task, fd, {buffer, 8})) == "ok");
    CHECK(outcome(fs::sys_read(process.task, fd, {buffer, 8})) == "ok");
    CHECK(process.load(buffer) == 3);
    process.task.exit();
}

TEST_CASE(
    "poll() sleeps until a descriptor is ready, the task is interrupted or the time is over") {
    Machine machine;
    Ending policy;
    machine.kernel.set_sleep_policy(policy);
    Process process(machine);
    const std::uint64_t buffer = process.map(4096);
    const auto fd = static_cast<int>(value(fs::sys_eventfd2(process.task, 0, 0)));
    const auto poll = [&] { return fs::sys_poll_and_sleep(process.task, fd, POLLIN); };

    std::int64_t events = 0;
    std::thread waiting([&] { events = value(poll()); });
    policy.slept.wait(0);
    process.store<std::uint64_t>(buffer, 3);
    CHECK(outcome(fs::sys_write(process.task, fd, {buffer, 8})) == "ok");
    waiting.join();
    CHECK(events == POLLIN);
    CHECK(value(poll()) == POLLIN);                                           // nothing was read
    CHECK(value(fs::sys_poll_and_sleep(process.task, 0, POLLIN)) == POLLIN);  // /dev/null

    CHECK(outcome(fs::sys_read(process.task, fd, {buffer, 8})) == "ok");
    process.task.interrupt();
    CHECK(outcome(poll()) == "EINTR");
    policy.end = true;
    CHECK(outcome(poll()) == "EINTR");
    policy.how = fs::Wakeup::timed_out;
    CHECK(value(poll()) == 0);
    CHECK(outcome(fs::sys_poll_and_sleep(process.task, 99, POLLIN)) == "EBADF");
    CHECK(outcome(fs::sys_poll_and_sleep(process.task, -1, POLLIN)) == "EBADF");
    process.task.exit();
}

namespace {

class Counting final : public fs::Waiter {
  public:
    void wake() override { woken.fetch_add(1); }
    std::atomic<unsigned> woken{0};
};

}  // namespace

TEST_CASE("a watch wakes its waiter until it is ended, and ends with the task") {
    Machine machine;
    Process process(machine);
    const std::uint64_t buffer = process.map(4096);
    const auto fd = static_cast<int>(value(fs::sys_eventfd2(process.task, 0, 0)));
    const auto waiter = std::make_shared<Counting>();
    CHECK(outcome(process.task.watch(fd, waiter)) == "ok");
    CHECK(value(process.task.poll_watched(*waiter)) == POLLOUT);
    process.store<std::uint64_t>(buffer, 3);
    CHECK(outcome(fs::sys_write(process.task, fd, {buffer, 8})) == "ok");
    CHECK(waiter->woken == 1);
    CHECK(value(process.task.poll_watched(*waiter)) == (POLLIN | POLLOUT));

    process.task.unwatch(*waiter);
    process.task.unwatch(*waiter);
    CHECK(outcome(fs::sys_write(process.task, fd, {buffer, 8})) == "ok");
    CHECK(waiter->woken == 1);

    CHECK(outcome(process.task.watch(fd, waiter)) == "ok");
    process.task.exit();
    CHECK(waiter->woken == 2);
    CHECK(outcome(process.task.poll_watched(*waiter)) == "EINTR");
    CHECK(outcome(process.task.watch(fd, waiter)) == "EBADF");
    CHECK(waiter->woken == 2);
    CHECK(waiter.use_count() == 1);
}
