// SPDX-License-Identifier: MIT

#include "pci/interrupts.h"

namespace kvmiommu::pci {

void Interrupts::set_intx(bool asserted) {
    config_.change(kStatus, 2, kStatusInterrupt, asserted ? kStatusInterrupt : 0);
    if (asserted && sink_ != nullptr && (config_.read(kCommand, 2) & kCommandIntxDisable) == 0) {
        sink_->intx();
    }
}

bool Interrupts::intx_asserted() const {
    return (config_.read(kStatus, 2) & kStatusInterrupt) != 0;
}

bool Interrupts::msi_enabled() const {
    const std::uint32_t at = config_.capability(kCapMsi);
    return at != 0 && (config_.read(at + kMsiFlags, 2) & kMsiEnable) != 0;
}

bool Interrupts::msix_enabled() const {
    const std::uint32_t at = config_.capability(kCapMsix);
    return at != 0 && (config_.read(at + kMsixFlags, 2) & kMsixEnable) != 0;
}

void Interrupts::msi(std::uint32_t vector) {
    if (msi_enabled() && sink_ != nullptr) {
        sink_->message(vector);
    }
}

void Interrupts::msix(std::uint32_t vector) {
    if (!msix_enabled()) {
        return;
    }
    // Pending before the call, so that a handler that is set meanwhile sees it. A message may then
    // arrive twice, but none is lost.
    std::uint64_t message = 0;
    {
        const Lock lock(mutex_);
        message = ++messages_;
        pending_[vector] = message;
    }
    if (sink_ == nullptr || !sink_->message(vector)) {
        return;
    }
    const Lock lock(mutex_);
    if (const auto found = pending_.find(vector);
        found != pending_.end() && found->second == message) {
        pending_.erase(found);
    }
}

bool Interrupts::pending(std::uint32_t vector) const {
    const Lock lock(mutex_);
    return pending_.contains(vector);
}

void Interrupts::reset() {
    config_.change(kStatus, 2, kStatusInterrupt, 0);
    const Lock lock(mutex_);
    pending_.clear();
}

void Interrupts::unmask_msix(std::uint32_t vector) {
    {
        const Lock lock(mutex_);
        if (pending_.erase(vector) == 0) {
            return;
        }
    }
    msix(vector);
}

}  // namespace kvmiommu::pci
