// SPDX-License-Identifier: MIT

#include "fs/task.h"

#include <utility>

namespace kvmiommu::fs {

namespace {
constexpr Source kSetUser{"kernel/sys.c: __sys_setresuid"};
constexpr Source kSetLimit{"kernel/sys.c: do_prlimit"};
constexpr Source kPoll{"fs/select.c: do_poll"};
}  // namespace

Task::Task(Kernel& kernel, Ref<mm::AddressSpace> mm) : kernel_(kernel), id_(kernel.next_task_id()) {
    mm_ = std::move(mm);
}

Task::~Task() {
    exit();
}

void Task::exit() {
    const DeferredWork::Call call(kernel_.deferred_work());
    Watches watches;
    {
        // Sleeping calls must end, because they hold references to files.
        const Lock lock(mutex_);
        exited_ = true;
        for (Sleeper* const sleeper : sleepers_) {
            sleeper->wake();
        }
        watches = std::exchange(watches_, {});
    }
    end(std::move(watches));
    mm_->exit();
    files_.close_all();
}

Credentials Task::credentials() const {
    const Lock lock(mutex_);
    return credentials_;
}

Result<> Task::set_user(std::uint32_t uid) {
    const Lock lock(mutex_);
    if (uid != credentials_.uid && !credentials_.capable(Capability::setuid)) {
        return refuse(EPERM, "user {} may not become user {}", kSetUser, credentials_.uid, uid);
    }
    if (credentials_.uid == 0 && uid != 0) {
        credentials_.capabilities = 0;
    }
    credentials_.uid = uid;
    return {};
}

std::uint64_t Task::limit(Resource resource) const {
    const Lock lock(mutex_);
    return limits_.soft(resource);
}

Result<> Task::set_limit(std::uint32_t resource, ResourceLimit limit) {
    if (resource >= kResources) {
        return refuse(EINVAL, "resource {} is not known, {} are", kSetLimit, resource, kResources);
    }
    if (limit.soft > limit.hard) {
        return refuse(EINVAL, "a soft limit of {} above the hard limit of {}", kSetLimit,
                      limit.soft, limit.hard);
    }
    if (resource == static_cast<std::uint32_t>(Resource::nofile) && limit.hard > kMostFiles) {
        return refuse(EPERM, "{} descriptors, not more than {} can be open", kSetLimit, limit.hard,
                      kMostFiles);
    }
    const Lock lock(mutex_);
    ResourceLimit& now = limits_.by_number[resource];
    if (limit.hard > now.hard && !credentials_.capable(Capability::sys_resource)) {
        return refuse(EPERM, "the hard limit {} may not be raised to {}", kSetLimit, now.hard,
                      limit.hard);
    }
    now = limit;
    return {};
}

void Task::interrupt() {
    const Lock lock(mutex_);
    interrupted_ = true;
    for (Sleeper* const sleeper : sleepers_) {
        sleeper->wake();
    }
}

// The last reference to the file may be put in each of these.

Result<> Task::watch(int fd, std::shared_ptr<Waiter> waiter) {
    const DeferredWork::Call call(kernel_.deferred_work());
    Ref<File> file = TRY(files_.get(fd));
    Waiter& woken = *waiter;
    file->watch(woken);
    {
        const Lock lock(mutex_);
        if (!exited_) {
            watches_.emplace(&woken, Watched{std::move(file), std::move(waiter)});
            return {};
        }
    }
    file->unwatch(woken);
    woken.wake();
    return {};
}

void Task::unwatch(const Waiter& waiter) {
    const DeferredWork::Call call(kernel_.deferred_work());
    Watches ended;
    {
        const Lock lock(mutex_);
        if (auto found = watches_.extract(&waiter)) {
            ended.insert(std::move(found));
        }
    }
    for (const auto& [_, watched] : ended) {
        watched.file->unwatch(*watched.waiter);
    }
}

Result<std::uint32_t> Task::poll_watched(const Waiter& waiter) {
    const DeferredWork::Call call(kernel_.deferred_work());
    Ref<File> file;
    {
        const Lock lock(mutex_);
        if (const auto found = watches_.find(&waiter); found != watches_.end()) {
            file = found->second.file;
        }
    }
    if (!file) {
        return refuse(EINTR, "the process exited while it waited", kPoll);
    }
    return file->poll();
}

void Task::end(Watches watches) {
    for (const auto& [_, watched] : watches) {
        watched.file->unwatch(*watched.waiter);
        watched.waiter->wake();
    }
}

Wakeup Task::sleep_as(Sleeper& sleeper, bool killable) {
    must_hold_no_lock("a call sleeps");
    kernel_.deferred_work().flush();
    const auto signal_pending = [&] {
        mutex_.assert_held();
        return exited_ || (!killable && std::exchange(interrupted_, false));
    };
    {
        const Lock lock(mutex_);
        if (signal_pending()) {
            return Wakeup::interrupted;
        }
        sleepers_.push_back(&sleeper);
    }
    const Wakeup wakeup = kernel_.sleep_policy().sleep(sleeper);
    const Lock lock(mutex_);
    std::erase(sleepers_, &sleeper);
    return signal_pending() ? Wakeup::interrupted : wakeup;
}

}  // namespace kvmiommu::fs
