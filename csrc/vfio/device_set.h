// SPDX-License-Identifier: MIT
//
// Devices that are opened, closed and reset one at a time, because one reset takes them all
// (drivers/vfio/vfio_main.c: vfio_device_set).

#pragma once

#include <utility>
#include <vector>

#include "base/base.h"
#include "fs/sleep_lock.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

class Device;

class DeviceSet {
  public:
    /// The right to open, close and reset the devices of a set, of one thread at a time
    /// (vfio_device_set.lock). It is not a lock of this folder: a device's model is called while
    /// it is held, and may itself open and close any device.
    class Turn {
      public:
        Turn(Turn&& other) noexcept : set_(std::exchange(other.set_, nullptr)) {}
        Turn& operator=(Turn&&) = delete;
        /// Ends the turn, after the closes that other threads have left to it.
        ~Turn() {
            if (set_ != nullptr) {
                set_->end();
            }
        }

      private:
        friend class DeviceSet;
        explicit Turn(DeviceSet& set) : set_(&set) {}

        DeviceSet* set_;
    };

    DeviceSet() = default;
    DeviceSet(const DeviceSet&) = delete;
    DeviceSet& operator=(const DeviceSet&) = delete;

    /// Waits for the turn. A thread that has the turn may begin it again.
    /// EDEADLK another thread has the turn, and this one has that of another set
    /// EINTR the task is interrupted while another thread has the turn
    Result<Turn> begin(fs::Task& task);
    /// Closes a device once, which may be the last time. A thread that has the turn of another set
    /// must not wait for this one's: it leaves the close to the thread that has the turn.
    void close(Device& device) EXCLUDES(mutex_);

  private:
    void end() EXCLUDES(mutex_);
    std::vector<Device*> take_left() EXCLUDES(mutex_);

    fs::SleepLock turn_;
    Mutex mutex_{lock_order::kDeviceSet};
    std::vector<Device*> left_ GUARDED_BY(mutex_);  // closes left to the turn's thread
};

}  // namespace kvmiommu::vfio
