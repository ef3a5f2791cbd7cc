// SPDX-License-Identifier: MIT

#include "fs/deferred_work.h"

namespace kvmiommu::fs {

namespace {
constexpr Source kSource{"kvmiommu: fs/deferred_work.h"};
}

constinit thread_local DeferredWork::Call* DeferredWork::innermost_ = nullptr;

DeferredWork::Call* DeferredWork::current() {
    Call* call = innermost_;
    while (call != nullptr && call->machine_ != this) {
        call = call->outer_;
    }
    return call;
}

void DeferredWork::queue(Ref<Work> work) {
    if (Call* const call = current()) {
        call->add(std::move(work));
        return;
    }
    Call own(*this);
    own.add(std::move(work));
}

void DeferredWork::flush() {
    if (Call* const call = current(); call != nullptr && call->queue_) {
        call->run();
    }
}

// One record a call, which has its own queue.
void DeferredWork::refuse_rest(const Call::Queue& queue) {
    if (!trace_.on()) {
        return;
    }
    TraceRecord record;
    record.call = "deferred work";
    record.arguments[0] = queue.done;
    record.arguments[1] = queue.waiting.size();
    record.count = 2;
    record.refusal = refuse(ELOOP,
                            "work leads to work without end: {} done after a call that queued {}, "
                            "{} more dropped",
                            kSource, queue.done, queue.by_the_call, queue.waiting.size())
                         .error();
    trace_.add(std::move(record));
}

// Calls of other machines may be nested in between.
void DeferredWork::Call::begin_within() {
    if (machine_->current() != nullptr) {
        machine_ = nullptr;
        return;
    }
    outer_ = std::exchange(innermost_, this);
}

void DeferredWork::Call::add(Ref<Work> work) {
    if (!queue_) {
        queue_ = std::make_unique<Queue>();
    }
    if (!queue_->running) {
        ++queue_->by_the_call;
    }
    // Queued even beyond the limit: a reference must not be put here, under the caller's lock.
    queue_->waiting.push_back(std::move(work));
}

void DeferredWork::Call::run() {
    Queue& queue = *queue_;
    if (queue.running) {
        return;
    }
    queue.running = true;
    while (!queue.waiting.empty()) {
        if (queue.done == queue.by_the_call + kMostFollowing) {
            machine_->refuse_rest(queue);
            const auto dropped = std::exchange(queue.waiting, {});
            break;
        }
        const Ref<Work> next = std::move(queue.waiting.front());
        queue.waiting.pop_front();
        ++queue.done;
        must_hold_no_lock("deferred work begins");
        next->run();
    }
    queue.running = false;
}

void DeferredWork::Call::end() {
    run();
    queue_.reset();
}

}  // namespace kvmiommu::fs
