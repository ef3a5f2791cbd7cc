// SPDX-License-Identifier: MIT

#include "fs/eventfd.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "fs/kernel.h"
#include "fs/task.h"

namespace kvmiommu::fs {

namespace {
constexpr Source kRead{"fs/eventfd.c: eventfd_read"};
constexpr Source kWrite{"fs/eventfd.c: eventfd_write"};
// Only signal() reaches this value; writers stay below it.
constexpr std::uint64_t kOverflow = ~std::uint64_t{0};
}  // namespace

EventFd::EventFd(Kernel& kernel, std::uint64_t count, int flags)
    : File(kernel, "eventfd", O_RDWR | ((flags & EFD_NONBLOCK) != 0 ? O_NONBLOCK : 0), false),
      deferred_work_(kernel.deferred_work()),
      semaphore_((flags & EFD_SEMAPHORE) != 0),
      count_(count) {}

void EventFd::wake() {
    for (Waiter* const waiter : waiters_) {
        waiter->wake();
    }
}

// The sleeper is in the list already.
Result<> EventFd::wait(Task& task, Sleeper& sleeper) {
    const bool interrupted = task.sleep(sleeper);
    unwatch(sleeper);
    if (interrupted) {
        return refuse(EINTR, "interrupted while it waited for the counter", kRead);
    }
    return {};
}

Result<std::int64_t> EventFd::read(Task& task, UserBuffer to) {
    if (to.bytes < sizeof(std::uint64_t)) {
        return refuse(EINVAL, "{} bytes, the counter has 8", kRead, to.bytes);
    }
    std::uint64_t taken = 0;
    for (;;) {
        Sleeper sleeper;
        {
            const Lock lock(mutex_);
            if (count_ > 0) {
                taken = semaphore_ ? 1 : count_;
                count_ -= taken;
                wake();
                break;
            }
            if (nonblocking()) {
                return refuse(EAGAIN, "the counter is 0", kRead);
            }
            waiters_.push_back(&sleeper);
        }
        TRY(wait(task, sleeper));
    }
    // As in the kernel, the count is lost if it cannot be written to the user's memory.
    TRY(mm::UserPtr<std::uint64_t>(to.address).write(task.mm(), taken));
    return sizeof taken;
}

Result<std::int64_t> EventFd::write(Task& task, UserBuffer from) {
    if (from.bytes != sizeof(std::uint64_t)) {
        return refuse(EINVAL, "{} bytes, the counter has 8", kWrite, from.bytes);
    }
    const std::uint64_t added = TRY(mm::UserPtr<std::uint64_t>(from.address).read(task.mm()));
    if (added == kOverflow) {
        return refuse(EINVAL, "{:x} cannot be added", kWrite, added);
    }
    for (;;) {
        Sleeper sleeper;
        Listeners told;
        bool counted = false;
        {
            const Lock lock(mutex_);
            counted = kOverflow - count_ > added;
            if (counted) {
                count_ += added;
                told = take_for_listeners();
                wake();
            } else if (nonblocking()) {
                return refuse(EAGAIN, "{:x} and {} more are too many", kWrite, count_, added);
            } else {
                waiters_.push_back(&sleeper);
            }
        }
        if (counted) {
            queue(std::move(told));
            return sizeof added;
        }
        TRY(wait(task, sleeper));
    }
}

std::uint32_t EventFd::poll() {
    const Lock lock(mutex_);
    std::uint32_t events = 0;
    if (count_ > 0) {
        events |= POLLIN;
    }
    if (count_ == kOverflow) {
        events |= POLLERR;
    }
    if (count_ < kOverflow - 1) {
        events |= POLLOUT;
    }
    return events;
}

void EventFd::watch(Waiter& waiter) {
    const Lock lock(mutex_);
    waiters_.push_back(&waiter);
}

void EventFd::unwatch(Waiter& waiter) {
    const Lock lock(mutex_);
    std::erase(waiters_, &waiter);
}

void EventFd::signal() {
    Listeners told;
    {
        const Lock lock(mutex_);
        if (count_ < kOverflow) {
            ++count_;
        }
        told = take_for_listeners();
        wake();
    }
    queue(std::move(told));
}

EventFd::Listeners EventFd::take_for_listeners() {
    if (!listeners_.empty() && count_ != 0) {
        count_ = 0;
        return listeners_;
    }
    return {};
}

void EventFd::queue(Listeners listeners) {
    for (Ref<Work>& listener : listeners) {
        deferred_work_.queue(std::move(listener));
    }
}

void EventFd::listen(Ref<Work> listener) {
    Listeners told;
    {
        const Lock lock(mutex_);
        listeners_.push_back(std::move(listener));
        told = take_for_listeners();
    }
    queue(std::move(told));
}

void EventFd::unlisten(const Work& listener) {
    Ref<Work> gone;
    const Lock lock(mutex_);
    const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                    [&](const auto& other) { return other.get() == &listener; });
    if (found != listeners_.end()) {
        gone = std::move(*found);
        listeners_.erase(found);
    }
}

std::uint64_t EventFd::count() const {
    const Lock lock(mutex_);
    return count_;
}

}  // namespace kvmiommu::fs
