// SPDX-License-Identifier: MIT
//
// Eventfds that user space passes to VFIO: VFIO signals them, or acts when they are signalled
// (drivers/vfio/virqfd.c).

#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "fs/eventfd.h"
#include "fs/task.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

/// eventfd_ctx_fdget().
/// EBADF the descriptor is not open
/// EINVAL the descriptor is not an eventfd
Result<Ref<fs::EventFd>> get_eventfd(fs::Task& task, std::int32_t fd);

/// Runs an action for each signal of an eventfd, at the end of the call that signalled it.
class Virqfd final : public fs::Work {
  public:
    /// Listens to the eventfd. If it is signalled already, the action is queued, not run: the
    /// caller may hold the lock that the action takes.
    static Ref<Virqfd> start(Census& census, Ref<fs::EventFd> eventfd,
                             std::function<void()> action);
    /// The action does not begin any more, even if it is queued. Does not wait for one that another
    /// thread has begun: that may be waiting for the caller.
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
