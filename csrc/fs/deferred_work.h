// SPDX-License-Identifier: MIT
//
// Work that is deferred to the end of a call, such as the reaction to an eventfd's signal. The
// kernel queues it on a workqueue (drivers/vfio/virqfd.c: virqfd_wakeup). Here the thread that
// queued it runs it when its outermost call ends: nothing recurses, and the effects of a call are
// visible when it returns.
//
// Each thread has a queue for each machine that it is in a call of. Work never moves to another
// thread, so no thread waits for one that may be waiting for it.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "base/base.h"

namespace kvmiommu::fs {

/// A piece of deferred work (struct work_struct).
class Work : public RefCounted {
  public:
    /// Called without a lock held, once for each time it was queued.
    virtual void run() = 0;

  protected:
    using RefCounted::RefCounted;
};

/// The deferred work of one machine.
class DeferredWork {
  public:
    /// The work that may be queued by work itself, for one call. The rest is dropped, with a record
    /// in the trace (ELOOP).
    static constexpr std::uint64_t kMostFollowing = 4096;

    /// A call of the machine. Every entry from outside declares one first: a system call, an exit,
    /// an access to a trapped page, an interrupt. Within another call of the same thread and
    /// machine it does nothing. Else its destructor runs the work that was queued, so no lock may
    /// be held then.
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

    /// Queues work for the end of this thread's call; outside of any call it is run at once. A
    /// caller that holds a lock must be in a Call that began before it took the lock.
    void queue(Ref<Work> work);
    /// Called before this thread sleeps: runs what its call has queued, because that may wake it.
    /// Work that sleeps delays the work behind it, as in an ordered workqueue.
    void flush();

  private:
    Call* current();
    void refuse_rest(const Call::Queue& queue);

    TraceRing& trace_;
    // The calls that this thread is in, of any machine. Each call looks this up, so it uses the TLS
    // model that needs no function call.
#if defined(__GLIBC__)
    [[gnu::tls_model("initial-exec")]]
#endif
    static constinit thread_local Call* innermost_;
};

}  // namespace kvmiommu::fs
