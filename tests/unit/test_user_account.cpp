// SPDX-License-Identifier: MIT

#include "fs/user_account.h"

#include <barrier>
#include <thread>
#include <vector>

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;

TEST_CASE("a user has one account, and another user another one") {
    Machine machine;
    UserAccounts& accounts = machine.kernel.user_accounts();
    const Ref<UserAccount> first = accounts.get(1000);
    CHECK(first == accounts.get(1000));
    CHECK(first->uid() == 1000);
    const Ref<UserAccount> second = accounts.get(1001);
    CHECK(second.get() != first.get());
    CHECK(outcome(first->locked_vm().charge(3, 3, false)) == "ok");
    CHECK(outcome(accounts.get(1000)->locked_vm().charge(1, 3, false)) == "ENOMEM");
    CHECK(second->locked_vm().pages() == 0);
    first->locked_vm().uncharge(3);
}

TEST_CASE("an account lasts as long as somebody holds it") {
    Machine machine;
    UserAccounts accounts(machine.census());
    Ref<UserAccount> account = accounts.get(7);
    CHECK(machine.census().alive() == 1);
    account = nullptr;
    CHECK(machine.census().alive() == 0);
    CHECK(accounts.get(7)->locked_vm().pages() == 0);
}

TEST_CASE("threads that get and put a user's account meet in one") {
    Machine machine;
    UserAccounts accounts(machine.census());
    constexpr int kThreads = 4;
    std::barrier start(kThreads);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&] {
            start.arrive_and_wait();
            for (int round = 0; round < 2000; ++round) {
                const Ref<UserAccount> one = accounts.get(5);
                const Ref<UserAccount> other = accounts.get(5);
                if (one.get() != other.get()) {
                    FAIL_CHECK("two accounts of one user");
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

}  // namespace
}  // namespace kvmiommu::fs
