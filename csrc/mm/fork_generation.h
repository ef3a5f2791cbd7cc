// SPDX-License-Identifier: MIT
//
// Which process of the host created an object. The RAM of a machine is shared memory, so after a
// host fork() the child's copy of a machine must not change the parent's: calls are refused in the
// child, and destructors do nothing. The child takes no lock of the machine either, because a
// thread that held it at the fork does not exist in the child.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/result.h"

namespace kvmiommu::mm {

/// The number of forks of the process and its ancestors when this object was created. A check is
/// one load.
class ForkGeneration {
  public:
    ForkGeneration();

    /// Is this a child of the process that created it?
    bool inherited() const { return made_ != now_.load(std::memory_order_relaxed); }
    /// EIO inherited()
    Result<> check() const { return inherited() ? refuse_inherited() : Result<>(); }

  private:
    static Result<> refuse_inherited();
    static void count_fork();

    // A property of the host's process, shared by all its machines.
    static std::atomic<std::uint32_t> now_;

    std::uint32_t made_;
};

/// A pointer that destroys the object only in the process that created it.
template <class T>
std::shared_ptr<T> owned_by_host(std::unique_ptr<T> object) {
    return std::shared_ptr<T>(object.release(), [made = ForkGeneration()](T* gone) {
        if (!made.inherited()) {
            delete gone;
        }
    });
}

}  // namespace kvmiommu::mm
