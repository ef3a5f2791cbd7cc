// SPDX-License-Identifier: MIT
//
// An emulated process: a task and its address space. Descriptors 0, 1 and 2 are open, as in every
// process that a shell starts; here they are /dev/null.

#pragma once

#include <fcntl.h>

#include <cassert>
#include <utility>

#include "fs/syscalls.h"
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
    /// Unmaps and closes everything; later calls are refused.
    void exit() { task_.exit(); }

  private:
    Process(fs::Kernel& kernel, Ref<mm::OwnedAddressSpace> mm) : task_(kernel, mm) {
        mm_ = std::move(mm);
        for (int fd = 0; fd < 3; ++fd) {
            [[maybe_unused]] const auto opened = fs::sys_open(task_, "/dev/null", O_RDWR);
            assert(opened && *opened == fd);
        }
    }

    fs::Task task_;
    Ref<mm::OwnedAddressSpace> mm_{"process.mm"};
};

}  // namespace kvmiommu::machine
