// SPDX-License-Identifier: MIT
//
// The object of _core.Bell: which files of an emulated process may have become ready, for an event
// loop of the host. The loop waits for one descriptor of the host, an eventfd, however many files
// are watched: no thread waits in the core, and a thread that makes a file ready needs no GIL.

#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "bindings/lock_order.h"
#include "bindings/machine.h"
#include "bindings/process.h"
#include "fs/sleeper.h"

namespace kvmiommu {

class Bell {
  public:
    /// `process` is Python's Process.
    /// OSError EMFILE the host's process has no descriptor left
    explicit Bell(Process& process);
    ~Bell();
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;

    std::shared_ptr<Machine> machine() { return machine_; }

    /// The descriptor of the host, which is readable while take() has something to return.
    int fileno() const;
    /// Watches a file from now on, and returns the number of the watch, which rings once at once.
    /// EBADF the descriptor is not open
    std::uint64_t watch(int fd) EXCLUDES(mutex_);
    void unwatch(std::uint64_t number) EXCLUDES(mutex_);
    /// The watches that rang since.
    std::vector<std::uint64_t> take();
    /// Is the file of a watch readable?
    /// EINTR the process has exited
    bool readable(std::uint64_t number) EXCLUDES(mutex_);

  private:
    class Ringing;
    class Watch;

    std::shared_ptr<Watch> find(std::uint64_t number) EXCLUDES(mutex_);

    const std::shared_ptr<Machine> machine_;
    const std::shared_ptr<machine::Process> process_;
    const std::shared_ptr<Ringing> ringing_;
    Mutex mutex_{bindings::lock_order::kBell};
    std::uint64_t last_ GUARDED_BY(mutex_) = 0;
    std::map<std::uint64_t, std::shared_ptr<Watch>> watches_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu
