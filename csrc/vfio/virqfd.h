// SPDX-License-Identifier: MIT
//
// Eventfds that user space hands to VFIO: to be signalled, or to be acted upon when user space
// signals them.

#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "fs/eventfd.h"
#include "fs/task.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

/// eventfd_ctx_fdget(): EBADF not open, EINVAL not an eventfd.
Result<Ref<fs::EventFd>> get_eventfd(fs::Task& task, std::int32_t fd);

/// An action that each signal of an eventfd sets off, when the call that signalled it ends
/// (drivers/vfio/virqfd.c).
class Virqfd final : public fs::Work {
  public:
    /// Starts to listen; what was signalled already sets the action off as well. Nobody is called:
    /// the caller may hold the lock that the action takes.
    static Ref<Virqfd> start(Census& census, Ref<fs::EventFd> eventfd,
                             std::function<void()> action);
    /// The action is not begun any more, whatever has been queued. One that another thread has
    /// begun is not waited for: it may be waiting for the caller.
    void stop() EXCLUDES(mutex_);
    void run() override EXCLUDES(mutex_);

    Virqfd(Census& census, Ref<fs::EventFd> eventfd, std::function<void()> action)
        : Work(census, "virqfd"), action_(std::move(action)) {
        eventfd_ = std::move(eventfd);
    }

  private:
    const std::function<void()> action_;
    Mutex mutex_{lock_order::kVirqfd};
    Ref<fs::EventFd> eventfd_ GUARDED_BY(mutex_){"virqfd.eventfd"};
};

}  // namespace kvmiommu::vfio
