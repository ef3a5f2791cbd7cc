// SPDX-License-Identifier: MIT
//
// task_struct: who makes a call. Whose pins, whose limit, whose capability is never implied.

#pragma once

#include <cstdint>
#include <vector>

#include "base/base.h"
#include "fs/credentials.h"
#include "fs/fd_table.h"
#include "fs/kernel.h"
#include "fs/lock_order.h"
#include "fs/sleeper.h"
#include "mm/mm.h"

namespace kvmiommu::fs {

/// A process of one thread, as the kernel sees it. Host threads may make calls as one Task at the
/// same time.
class Task {
  public:
    /// A process with an address space and no descriptors. It belongs to user 0 with every
    /// capability and without limits but for RLIMIT_NOFILE.
    Task(Kernel& kernel, Ref<mm::AddressSpace> mm);
    /// Exits: the address space goes first, then the descriptors (kernel/exit.c: do_exit).
    ~Task();
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    Kernel& kernel() { return kernel_; }
    std::uint32_t id() const { return id_; }
    mm::AddressSpace& mm() { return *mm_; }
    /// A reference to the address space itself, which does not keep what is mapped (mmgrab).
    Ref<mm::AddressSpace> grab_mm() { return mm_; }
    FdTable& files() { return files_; }
    FaultPoints& faults() { return faults_; }
    /// How this task encodes the numbers of its requests.
    uapi::Abi abi() const { return kernel_.abi(); }

    Credentials credentials() const EXCLUDES(mutex_);
    bool capable(Capability capability) const { return credentials().capable(capability); }
    /// setresuid() with one id for all three. EPERM without CAP_SETUID, unless it is the same.
    /// Capabilities go with user 0 (security/commoncap.c: cap_emulate_setxuid).
    Result<> set_user(std::uint32_t uid) EXCLUDES(mutex_);

    std::uint64_t limit(Resource resource) const EXCLUDES(mutex_);
    /// setrlimit(): EINVAL unknown resource or soft above hard, EPERM raising a hard limit
    /// without CAP_SYS_RESOURCE or RLIMIT_NOFILE above kMostFiles.
    Result<> set_limit(std::uint32_t resource, ResourceLimit limit) EXCLUDES(mutex_);

    /// A signal without a handler's effect: the call that sleeps, or the next one that would, is
    /// refused with EINTR.
    void interrupt() EXCLUDES(mutex_);
    /// Sleeps until `sleeper` is woken: false; or the task is interrupted, exits, or its face ends
    /// the sleep: true.
    bool sleep(Sleeper& sleeper) EXCLUDES(mutex_) { return sleep_as(sleeper, false); }
    /// The same for what no signal with a handler ends (TASK_KILLABLE).
    bool sleep_killable(Sleeper& sleeper) EXCLUDES(mutex_) { return sleep_as(sleeper, true); }

    void exit() EXCLUDES(mutex_);

  private:
    bool sleep_as(Sleeper& sleeper, bool killable) EXCLUDES(mutex_);

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
};

}  // namespace kvmiommu::fs
