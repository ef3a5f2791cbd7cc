// SPDX-License-Identifier: MIT
//
// Devices that are opened, closed and reset one at a time, because one reset takes them all
// (drivers/vfio/vfio_main.c: vfio_device_set).

#pragma once

#include <vector>

#include "base/base.h"
#include "fs/sleep_lock.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

class Device;

class DeviceSet {
  public:
    /// What one thread does with the devices at a time (vfio_device_set.lock). No lock of this
    /// folder is held for it: a device's model is called meanwhile, which may open and close any
    /// device itself.
    class Turn {
      public:
        Turn(Turn&& other) noexcept : set_(std::exchange(other.set_, nullptr)) {}
        Turn& operator=(Turn&&) = delete;
        /// Does the closes that other threads have left to it.
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

    /// Within its turn a thread may begin another one.
    /// EINTR   the task is interrupted while another thread has the turn
    /// EDEADLK another thread has the turn, and this one that of another set
    Result<Turn> begin(fs::Task& task);
    /// Takes back one open of a device, which may be the last. A thread that has the turn of
    /// another set does not wait for this one's: then the close is done by who has the turn.
    void close(Device& device) EXCLUDES(mutex_);

  private:
    void end() EXCLUDES(mutex_);
    std::vector<Device*> take_left() EXCLUDES(mutex_);

    fs::SleepLock turn_;
    Mutex mutex_{lock_order::kDeviceSet};
    std::vector<Device*> left_ GUARDED_BY(mutex_);  // closes for who has the turn
};

}  // namespace kvmiommu::vfio
