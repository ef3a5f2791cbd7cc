// SPDX-License-Identifier: MIT
//
// Work that a call leaves behind: what an eventfd's signal sets off. In the kernel it goes to a
// workqueue (drivers/vfio/virqfd.c: virqfd_wakeup); here the thread that queued it does it when its
// outermost call ends, so that nothing recurses and every caller sees what its call led to.
//
// Each thread has a queue for each machine that it is in a call of. Work is never handed to another
// thread: nobody waits for a thread that may be waiting for him.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "base/base.h"

namespace kvmiommu::fs {

/// Something to be done after the call that led to it (struct work_struct).
class Work : public RefCounted {
  public:
    /// Called without a lock held, once for each time that it was queued.
    virtual void run() = 0;

  protected:
    using RefCounted::RefCounted;
};

/// The deferred work of one machine.
class DeferredWork {
  public:
    /// How much more than a call queued itself is done before the call ends: what work queues in
    /// its turn. The rest is dropped, with a record in the trace (ELOOP).
    static constexpr std::uint64_t kMostFollowing = 4096;

    /// A call of the machine. Everything that enters it from outside has one, as the first thing
    /// on its stack: a system call, an exit, an access to a trapped page, an interrupt. Within
    /// another call of the same thread and machine it does nothing; else work that was queued
    /// meanwhile is done at its end, which is therefore without a lock held.
    class Call {
      public:
        explicit Call(DeferredWork& machine) : machine_(&machine) {
            if (innermost_ == nullptr) [[likely]] {
                innermost_ = this;
            } else {
                begin_within();
            }
        }
        ~Call() {
            if (queue_ != nullptr) [[unlikely]] {
                end();
            }
            if (machine_ != nullptr) [[likely]] {
                innermost_ = outer_;
            }
        }
        Call(const Call&) = delete;
        Call& operator=(const Call&) = delete;

      private:
        friend class DeferredWork;
        struct Queue {
            std::deque<Ref<Work>> waiting;
            std::uint64_t by_the_call = 0;  // queued while no work ran
            std::uint64_t done = 0;
            bool running = false;
        };

        void begin_within();
        void add(Ref<Work> work);
        void run();
        void end();

        DeferredWork* machine_;  // null: within another call
        Call* outer_ = nullptr;
        std::unique_ptr<Queue> queue_;
    };

    explicit DeferredWork(TraceRing& trace) : trace_(trace) {}
    DeferredWork(const DeferredWork&) = delete;
    DeferredWork& operator=(const DeferredWork&) = delete;

    /// Work for the end of this thread's call; outside of any it is done at once. Who holds a lock
    /// is in a Call that began before.
    void queue(Ref<Work> work);
    /// Before this thread sleeps: does what its call has queued, for it may be what wakes it. Work
    /// that sleeps itself holds up what was queued behind it, as in an ordered workqueue.
    void flush();

  private:
    Call* current();
    void refuse_rest(const Call::Queue& queue);

    TraceRing& trace_;
    // The calls that this thread is in, of any machine. A call pays for this look-up, so it is of
    // the kind that takes no function call where the C library has room for it.
#if defined(__GLIBC__)
    [[gnu::tls_model("initial-exec")]]
#endif
    static constinit thread_local Call* innermost_;
};

}  // namespace kvmiommu::fs
