// SPDX-License-Identifier: MIT
//
// What all parts of one machine share. There is no other global state, so that one process can
// have several machines.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/base.h"
#include "fs/deferred_work.h"
#include "fs/device_nodes.h"
#include "fs/kernel_bugs.h"
#include "fs/platform.h"
#include "fs/sleeper.h"
#include "fs/user_account.h"
#include "mm/mm.h"
#include "uapi/ioctl.h"

namespace kvmiommu::fs {

class Kernel {
  public:
    /// `page_size` is a power of two from 4 KiB to 64 KiB.
    Kernel(std::unique_ptr<mm::PhysicalMemory> memory, std::uint64_t page_size, Arch arch,
           FixedBugs fixed = {}, Interfaces interfaces = Interfaces::v6_12);
    Kernel(const Kernel&) = delete;
    Kernel& operator=(const Kernel&) = delete;

    Census& census() { return census_; }
    mm::PhysicalMemory& memory() { return *memory_; }
    DeviceNodes& nodes() { return nodes_; }
    TraceRing& trace() { return trace_; }
    /// The locked memory of each user, by uid.
    UserAccounts& user_accounts() { return user_accounts_; }
    DeferredWork& deferred_work() { return deferred_work_; }
    std::uint64_t page_size() const { return page_size_; }
    Arch arch() const { return arch_; }
    /// How the machine's processes encode requests.
    uapi::Abi abi() const { return abi_of(arch_); }
    /// Are the interfaces those of this release or of a later one?
    bool has(Interfaces interfaces) const { return interfaces_ >= interfaces; }
    /// Is this bug of the real kernel fixed in this machine?
    bool fixed(KernelBug bug) const { return fixed_.contains(bug); }
    /// How calls sleep. By default until they are woken; a face may set another policy before the
    /// first call.
    SleepPolicy& sleep_policy() { return *sleep_policy_; }
    void set_sleep_policy(SleepPolicy& policy) { sleep_policy_ = &policy; }
    std::uint32_t next_task_id() { return next_task_id_.fetch_add(1, std::memory_order_relaxed); }

  private:
    class UntilWoken final : public SleepPolicy {
        Wakeup sleep(Sleeper& sleeper) override {
            sleeper.sleep();
            return Wakeup::woken;
        }
    };

    Census census_;
    std::unique_ptr<mm::PhysicalMemory> memory_;
    UserAccounts user_accounts_{census_};
    DeviceNodes nodes_;
    TraceRing trace_;
    DeferredWork deferred_work_{trace_};
    const std::uint64_t page_size_;
    const Arch arch_;
    const FixedBugs fixed_;
    const Interfaces interfaces_;
    std::atomic<std::uint32_t> next_task_id_{1};
    UntilWoken until_woken_;
    SleepPolicy* sleep_policy_ = &until_woken_;
};

}  // namespace kvmiommu::fs
