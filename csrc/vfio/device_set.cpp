// SPDX-License-Identifier: MIT

#include "vfio/device_set.h"

#include "vfio/device.h"

namespace kvmiommu::vfio {

Result<DeviceSet::Turn> DeviceSet::begin(fs::Task& task) {
    TRY(turn_.lock_interruptible(task));
    return Turn(*this);
}

void DeviceSet::close(Device& device) {
    if (turn_.lock()) {
        const Turn turn(*this);
        device.close_in_turn();
        return;
    }
    {
        const Lock lock(mutex_);
        left_.push_back(&device);
    }
    // The turn may have ended since.
    if (turn_.try_lock()) {
        end();
    }
}

std::vector<Device*> DeviceSet::take_left() {
    const Lock lock(mutex_);
    return std::exchange(left_, {});
}

void DeviceSet::end() {
    if (!turn_.held_once()) {
        turn_.unlock();
        return;
    }
    for (;;) {
        for (Device* const device : take_left()) {
            device->close_in_turn();
        }
        turn_.unlock();
        {
            const Lock lock(mutex_);
            if (left_.empty()) {
                return;
            }
        }
        // A close was left after take_left(). If another thread has the turn by now, it does it.
        if (!turn_.try_lock()) {
            return;
        }
    }
}

}  // namespace kvmiommu::vfio
