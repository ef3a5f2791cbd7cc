// SPDX-License-Identifier: MIT
//
// The caller of the kernel (include/linux/sched.h: task_struct). It is passed to every handler, so
// that pins, limits and capabilities are always those of an explicit task.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/base.h"
#include "fs/credentials.h"
#include "fs/fd_table.h"
#include "fs/kernel.h"
#include "fs/lock_order.h"
#include "fs/sleeper.h"
#include "mm/mm.h"

namespace kvmiommu::fs {

/// A process with one thread. Several host threads may make calls as one Task at the same time.
class Task {
  public:
    /// A process with an address space and no descriptors, of user 0 with all capabilities and no
    /// limit but RLIMIT_NOFILE.
    Task(Kernel& kernel, Ref<mm::AddressSpace> mm);
    /// Exits: unmaps the address space, then closes the descriptors (kernel/exit.c: do_exit).
    ~Task();
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    Kernel& kernel() { return kernel_; }
    std::uint32_t id() const { return id_; }
    mm::AddressSpace& mm() { return *mm_; }
    /// A reference to the address space, which does not keep its mappings (mmgrab).
    Ref<mm::AddressSpace> grab_mm() { return mm_; }
    FdTable& files() { return files_; }
    FaultPoints& faults() { return faults_; }
    /// How this task encodes the numbers of its requests.
    uapi::Abi abi() const { return kernel_.abi(); }

    Credentials credentials() const EXCLUDES(mutex_);
    bool capable(Capability capability) const { return credentials().capable(capability); }
    /// setresuid() with one id for all three. Leaving user 0 drops all capabilities
    /// (security/commoncap.c: cap_emulate_setxuid).
    /// EPERM another id, without CAP_SETUID
    Result<> set_user(std::uint32_t uid) EXCLUDES(mutex_);
    std::uint64_t limit(Resource resource) const EXCLUDES(mutex_);
    /// setrlimit().
    /// EINVAL the resource is unknown
    /// EINVAL the soft limit is above the hard limit
    /// EPERM RLIMIT_NOFILE above kMostFiles
    /// EPERM the hard limit is raised without CAP_SYS_RESOURCE
    Result<> set_limit(std::uint32_t resource, ResourceLimit limit) EXCLUDES(mutex_);

    /// A signal whose handler does nothing: the sleeping call, or the next one that would sleep, is
    /// refused with EINTR.
    void interrupt() EXCLUDES(mutex_);
    /// Sleeps. False: `sleeper` was woken. True: the task was interrupted or exits, or its face
    /// ends the sleep.
    bool sleep(Sleeper& sleeper) EXCLUDES(mutex_) {
        return sleep_as(sleeper, false) != Wakeup::woken;
    }
    /// The same, but interrupt() does not end it (TASK_KILLABLE).
    bool sleep_killable(Sleeper& sleeper) EXCLUDES(mutex_) {
        return sleep_as(sleeper, true) != Wakeup::woken;
    }
    /// The same for calls that return something else when their time is over.
    Wakeup sleep_until(Sleeper& sleeper) EXCLUDES(mutex_) { return sleep_as(sleeper, false); }

    // --- files that a face watches for its own event loop (fs/eventpoll.c: epitem) ---

    /// Wakes `waiter` whenever the events of the file may have changed, and when the task exits,
    /// which ends the watch.
    /// EBADF the descriptor is not open
    Result<> watch(int fd, std::shared_ptr<Waiter> waiter) EXCLUDES(mutex_);
    void unwatch(const Waiter& waiter) EXCLUDES(mutex_);
    /// What File::poll() says of the file that `waiter` watches.
    /// EINTR the task has exited
    Result<std::uint32_t> poll_watched(const Waiter& waiter) EXCLUDES(mutex_);

    void exit() EXCLUDES(mutex_);

  private:
    struct Watched {
        Ref<File> file;
        std::shared_ptr<Waiter> waiter;
    };
    using Watches = std::map<const Waiter*, Watched>;

    Wakeup sleep_as(Sleeper& sleeper, bool killable) EXCLUDES(mutex_);
    static void end(Watches watches);

    Kernel& kernel_;
    const std::uint32_t id_;
    Ref<mm::AddressSpace> mm_{"task.mm"};
    FdTable files_;
    FaultPoints faults_;
    mutable Mutex mutex_{lock_order::kTask};
    Credentials credentials_ GUARDED_BY(mutex_);
    ResourceLimits limits_ GUARDED_BY(mutex_);
    bool interrupted_ GUARDED_BY(mutex_) = false;
    bool exited_ GUARDED_BY(mutex_) = false;
    std::vector<Sleeper*> sleepers_ GUARDED_BY(mutex_);
    Watches watches_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
