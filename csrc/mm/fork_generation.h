// SPDX-License-Identifier: MIT
//
// Which process of the host made an object. The RAM of a machine is shared memory, so a child of
// fork() has all of it, and nothing that the child does with its copy of the machine may reach the
// parent's: its calls are refused, and what it destroys is left as it is. It takes no lock of the
// machine either, for the thread that held one at the time of the fork does not exist in the child.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/result.h"

namespace kvmiommu::mm {

/// The process that made this object: how often it and its ancestors had forked by then. To look is
/// one load.
class ForkGeneration {
  public:
    ForkGeneration();

    /// Is this a child of the process that made it?
    bool inherited() const { return made_ != now_.load(std::memory_order_relaxed); }
    /// EIO: inherited.
    Result<> check() const { return inherited() ? refuse_inherited() : Result<>(); }

  private:
    static Result<> refuse_inherited();
    static void count_fork();

    // The host's, not a machine's: the one thing that all machines of a process share.
    static std::atomic<std::uint32_t> now_;

    std::uint32_t made_;
};

/// Destroys what this process made; what it inherited stays as it is.
template <class T>
std::shared_ptr<T> owned_by_host(std::unique_ptr<T> object) {
    return std::shared_ptr<T>(object.release(), [made = ForkGeneration()](T* gone) {
        if (!made.inherited()) {
            delete gone;
        }
    });
}

}  // namespace kvmiommu::mm
