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

namespace kvmiommu::vfio {

/// eventfd_ctx_fdget(): EBADF not open, EINVAL not an eventfd.
Result<Ref<fs::EventFd>> get_eventfd(fs::Task& task, std::int32_t fd);

/// An action that each signal of an eventfd sets off (drivers/vfio/virqfd.c).
class Virqfd final : public fs::EventListener {
  public:
    /// Starts to listen; what was signalled already sets the action off at once.
    static Ref<Virqfd> start(Census& census, Ref<fs::EventFd> eventfd,
                             std::function<void()> action);
    /// The action is not begun any more.
    void stop() EXCLUDES(mutex_);
    void signaled() override EXCLUDES(mutex_);

    Virqfd(Census& census, Ref<fs::EventFd> eventfd, std::function<void()> action)
        : EventListener(census, "virqfd"), action_(std::move(action)) {
        eventfd_ = std::move(eventfd);
    }

  private:
    const std::function<void()> action_;
    Mutex mutex_;
    Ref<fs::EventFd> eventfd_ GUARDED_BY(mutex_){"virqfd.eventfd"};
};

}  // namespace kvmiommu::vfio
