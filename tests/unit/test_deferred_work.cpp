// SPDX-License-Identifier: MIT

#include "fs/deferred_work.h"

#include <barrier>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "support.h"
#include "vfio/virqfd.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::Process;

class Action final : public Work {
  public:
    Action(Census& census, std::function<void()> action)
        : Work(census, "test work"), action_(std::move(action)) {}
    void run() override { action_(); }

  private:
    const std::function<void()> action_;
};

// A machine whose work writes down what it was.
struct Bench {
    Ref<Work> action(std::function<void()> what) {
        return make<Action>(machine.census(), std::move(what));
    }
    Ref<Work> note(const std::string& name) {
        return action([this, name] { done.push_back(name); });
    }

    Machine machine;
    DeferredWork& work = machine.kernel.deferred_work();
    std::vector<std::string> done;
};

using Names = std::vector<std::string>;

TEST_CASE("work is done when the call ends, in the order in which it was queued") {
    Bench bench;
    {
        const DeferredWork::Call call(bench.work);
        bench.work.queue(bench.note("a"));
        bench.work.queue(bench.note("b"));
        bench.work.queue(bench.note("c"));
        CHECK(bench.done.empty());
    }
    CHECK(bench.done == Names{"a", "b", "c"});
}

TEST_CASE("work outside of any call is done at once") {
    Bench bench;
    bench.work.queue(bench.note("a"));
    CHECK(bench.done == Names{"a"});
}

TEST_CASE("a call within a call leaves its work to the outer one") {
    Bench bench;
    {
        const DeferredWork::Call outer(bench.work);
        {
            const DeferredWork::Call inner(bench.work);
            bench.work.queue(bench.note("a"));
        }
        CHECK(bench.done.empty());
    }
    CHECK(bench.done == Names{"a"});
}

TEST_CASE("work that is queued twice is done twice") {
    Bench bench;
    const Ref<Work> note = bench.note("a");
    {
        const DeferredWork::Call call(bench.work);
        bench.work.queue(note);
        bench.work.queue(note);
    }
    CHECK(bench.done == Names{"a", "a"});
}

TEST_CASE("what work leads to is done behind what waits already") {
    Bench bench;
    {
        const DeferredWork::Call call(bench.work);
        bench.work.queue(bench.action([&] {
            const DeferredWork::Call within(bench.work);
            bench.work.queue(bench.note("c"));
            bench.done.push_back("a");
        }));
        bench.work.queue(bench.note("b"));
    }
    CHECK(bench.done == Names{"a", "b", "c"});
}

TEST_CASE("calls of two machines on one stack keep their work apart") {
    Bench one;
    Bench other;
    {
        const DeferredWork::Call outer(one.work);
        {
            const DeferredWork::Call between(other.work);
            {
                const DeferredWork::Call inner(one.work);
                one.work.queue(one.note("one"));
                other.work.queue(other.note("other"));
            }
            CHECK(one.done.empty());
            CHECK(other.done.empty());
        }
        CHECK(one.done.empty());
        CHECK(other.done == Names{"other"});
    }
    CHECK(one.done == Names{"one"});
}

TEST_CASE("work without end is dropped, and the trace says so") {
    Bench bench;
    bench.machine.kernel.trace().keep(8);
    std::uint64_t runs = 0;
    Ref<Work> again;
    again = bench.action([&] {
        ++runs;
        bench.work.queue(again);
        bench.work.queue(again);
    });
    bench.work.queue(again);
    CHECK(runs == 1 + DeferredWork::kMostFollowing);
    const auto records = bench.machine.kernel.trace().records();
    REQUIRE(records.size() == 1);
    CHECK(std::string(records[0].call) == "deferred work");
    CHECK(records[0].refusal->error() == ELOOP);
    CHECK(records[0].arguments[0] == runs);
    // Each did one and left two.
    CHECK(records[0].arguments[1] == runs + 1);
    again.reset();
}

TEST_CASE("what a call queues itself has no bound") {
    Bench bench;
    bench.machine.kernel.trace().keep(8);
    std::uint64_t runs = 0;
    const Ref<Work> count = bench.action([&] { ++runs; });
    {
        const DeferredWork::Call call(bench.work);
        for (std::uint64_t i = 0; i < 3 * DeferredWork::kMostFollowing; ++i) {
            bench.work.queue(count);
        }
    }
    CHECK(runs == 3 * DeferredWork::kMostFollowing);
    CHECK(bench.machine.kernel.trace().records().empty());
}

TEST_CASE("a call after one whose work had no end is not bound by it") {
    Bench bench;
    Ref<Work> again;
    again = bench.action([&] { bench.work.queue(again); });
    bench.work.queue(again);
    bench.work.queue(bench.note("a"));
    CHECK(bench.done == Names{"a"});
    again.reset();
}

TEST_CASE("a call that sleeps does first what may wake it") {
    Bench bench;
    Process process(bench.machine);
    const Ref<EventFd> eventfd = make<EventFd>(bench.machine.kernel, 0, 0);
    const std::uint64_t buffer = process.map(4096);
    const DeferredWork::Call call(bench.work);
    bench.work.queue(bench.action([&] { eventfd->signal(); }));
    CHECK(outcome(eventfd->read(process.task, {buffer, 8})) == "ok");
    CHECK(process.load(buffer) == 1);
}

TEST_CASE("work that sleeps holds up what was queued behind it") {
    Bench bench;
    {
        const DeferredWork::Call call(bench.work);
        bench.work.queue(bench.action([&] {
            bench.work.flush();
            bench.done.push_back("a");
        }));
        bench.work.queue(bench.note("b"));
    }
    CHECK(bench.done == Names{"a", "b"});
}

TEST_CASE("each thread does its own work, and waits for nobody's") {
    // Each call's work meets that of the others: one thread that did it all would stand for ever.
    constexpr std::ptrdiff_t kThreads = 3;
    Bench bench;
    std::barrier meeting(kThreads);
    std::vector<std::thread> threads;
    for (std::ptrdiff_t i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
            const std::thread::id self = std::this_thread::get_id();
            bool done = false;
            bench.work.queue(bench.action([&] {
                meeting.arrive_and_wait();
                CHECK(std::this_thread::get_id() == self);
                done = true;
            }));
            CHECK(done);
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

TEST_CASE("threads that signal one eventfd lose nothing") {
    constexpr unsigned kSignals = 1000;
    Bench bench;
    const Ref<EventFd> eventfd = make<EventFd>(bench.machine.kernel, 0, 0);
    const Ref<EventFd> counted = make<EventFd>(bench.machine.kernel, 0, 0);
    const Ref<vfio::Virqfd> virqfd =
        vfio::Virqfd::start(bench.machine.census(), eventfd, [&] { counted->signal(); });
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
            for (unsigned signal = 0; signal < kSignals; ++signal) {
                eventfd->signal();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(counted->count() == 2 * kSignals);
    virqfd->stop();
}

// --- eventfds that are listened to ---

TEST_CASE("an eventfd that its own action signals is no recursion") {
    Bench bench;
    const Ref<EventFd> eventfd = make<EventFd>(bench.machine.kernel, 0, 0);
    unsigned depth = 0;
    unsigned runs = 0;
    const Ref<vfio::Virqfd> virqfd = vfio::Virqfd::start(bench.machine.census(), eventfd, [&] {
        CHECK(++depth == 1);
        if (++runs < 100) {
            eventfd->signal();
        }
        --depth;
    });
    eventfd->signal();
    CHECK(runs == 100);
    CHECK(eventfd->count() == 0);
    virqfd->stop();
}

TEST_CASE("an eventfd may be listened to with the lock held that the action takes") {
    Bench bench;
    constexpr LockRank kCallers{Layer::face, 0, "the caller's"};
    Mutex mutex(kCallers);
    const Ref<EventFd> eventfd = make<EventFd>(bench.machine.kernel, 1, 0);
    unsigned runs = 0;
    Ref<vfio::Virqfd> virqfd;
    {
        const DeferredWork::Call call(bench.work);
        const Lock lock(mutex);
        virqfd = vfio::Virqfd::start(bench.machine.census(), eventfd, [&] {
            const Lock within(mutex);
            ++runs;
        });
        CHECK(runs == 0);
    }
    CHECK(runs == 1);
    virqfd->stop();
}

TEST_CASE("an action that was stopped is not begun, also when it was queued already") {
    Bench bench;
    const Ref<EventFd> eventfd = make<EventFd>(bench.machine.kernel, 0, 0);
    unsigned runs = 0;
    const Ref<vfio::Virqfd> virqfd =
        vfio::Virqfd::start(bench.machine.census(), eventfd, [&] { ++runs; });
    {
        const DeferredWork::Call call(bench.work);
        eventfd->signal();
        virqfd->stop();
    }
    CHECK(runs == 0);
    eventfd->signal();
    CHECK(runs == 0);
    CHECK(eventfd->count() == 1);
}

TEST_CASE("an action may stop itself, and be the last to hold what it is") {
    Bench bench;
    const Ref<EventFd> eventfd = make<EventFd>(bench.machine.kernel, 0, 0);
    unsigned runs = 0;
    Ref<vfio::Virqfd> virqfd;
    virqfd = vfio::Virqfd::start(bench.machine.census(), eventfd, [&] {
        ++runs;
        virqfd->stop();
        virqfd.reset();
    });
    eventfd->signal();
    eventfd->signal();
    CHECK(runs == 1);
}

}  // namespace
}  // namespace kvmiommu::fs
