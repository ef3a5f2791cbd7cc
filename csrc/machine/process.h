// SPDX-License-Identifier: MIT
//
// An emulated process: a task and the address space it owns.

#pragma once

#include "fs/task.h"
#include "mm/owned_address_space.h"

namespace kvmiommu::machine {

class Process {
  public:
    explicit Process(fs::Kernel& kernel)
        : Process(kernel, make<mm::OwnedAddressSpace>(kernel.census(), kernel.memory(),
                                                      kernel.page_size())) {}

    fs::Task& task() { return task_; }
    mm::OwnedAddressSpace& mm() { return *mm_; }
    /// Everything is unmapped and closed; calls that come later are refused.
    void exit() { task_.exit(); }

  private:
    Process(fs::Kernel& kernel, Ref<mm::OwnedAddressSpace> mm) : task_(kernel, mm) {
        mm_ = std::move(mm);
    }

    fs::Task task_;
    Ref<mm::OwnedAddressSpace> mm_{"process.mm"};
};

}  // namespace kvmiommu::machine
