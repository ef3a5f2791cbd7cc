// SPDX-License-Identifier: MIT

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/mutex.h"

namespace kvmiommu {
namespace {

constexpr LockRank kOuter{Layer::fs, 2, "outer"};
constexpr LockRank kInner{Layer::fs, 1, "inner"};
constexpr LockRank kBelow{Layer::mm, 9, "below"};

TEST_CASE("every lock of an upper folder is taken before those of the folders below") {
    CHECK(kOuter.order > kInner.order);
    CHECK(kInner.order > kBelow.order);
    CHECK(LockRank(Layer::kvm, 0, "").order > LockRank(Layer::vfio, 255, "").order);
}

TEST_CASE("a thread that holds nothing takes any lock") {
    for (const LockRank* const rank : {&kOuter, &kInner, &kBelow}) {
        CHECK(held_out_of_order(*rank) == nullptr);
    }
}

#ifndef NDEBUG

// Does a child process that does this abort?
template <class Do>
bool aborts(Do&& act) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        act();
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST_CASE("a lock that is taken out of order aborts the program, with no other thread in the way") {
    Mutex outer(kOuter);
    Mutex inner(kInner);
    CHECK(aborts([&] {
        const Lock first(inner);
        const Lock second(outer);
    }));
    CHECK(!aborts([&] {
        const Lock first(outer);
        const Lock second(inner);
    }));
}

TEST_CASE("what must be begun without a lock aborts the program when one is held") {
    Mutex inner(kInner);
    CHECK(aborts([&] {
        const Lock lock(inner);
        must_hold_no_lock("something begins");
    }));
    CHECK(!aborts([&] { must_hold_no_lock("something begins"); }));
}

TEST_CASE("under a lock those of lower rank may be taken, neither higher ones nor its equals") {
    Mutex inner(kInner);
    {
        const Lock lock(inner);
        CHECK(held_out_of_order(kOuter) == &kInner);
        CHECK(held_out_of_order(kInner) == &kInner);
        CHECK(held_out_of_order(kBelow) == nullptr);
    }
    CHECK(held_out_of_order(kOuter) == nullptr);
}

TEST_CASE("locks may be unlocked in the order in which they were locked") {
    Mutex outer(kOuter);
    Mutex inner(kInner);
    outer.lock();
    inner.lock();
    outer.unlock();
    CHECK(held_out_of_order(kOuter) == &kInner);
    CHECK(held_out_of_order(kBelow) == nullptr);
    inner.unlock();
    CHECK(held_out_of_order(kOuter) == nullptr);
}

TEST_CASE("a lock that is read-locked stands in the order as well") {
    SharedMutex shared(kInner);
    {
        const SharedLock lock(shared);
        CHECK(held_out_of_order(kInner) == &kInner);
    }
    {
        const ExclusiveLock lock(shared);
        CHECK(held_out_of_order(kOuter) == &kInner);
    }
    CHECK(held_out_of_order(kInner) == nullptr);
}

TEST_CASE("what one thread holds is nothing to another") {
    Mutex outer(kOuter);
    const Lock lock(outer);
    const LockRank* seen = &kOuter;
    std::thread([&seen] { seen = held_out_of_order(kOuter); }).join();
    CHECK(seen == nullptr);
}

#endif

TEST_CASE("readers hold a shared mutex together") {
    SharedMutex shared(kInner);
    const SharedLock lock(shared);
    int read = 0;
    std::thread([&] {
        const SharedLock other(shared);
        read = 1;
    }).join();
    CHECK(read == 1);
}

}  // namespace
}  // namespace kvmiommu
