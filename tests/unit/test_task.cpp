// SPDX-License-Identifier: MIT

#include "fs/task.h"

#include <thread>

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint32_t kNoFile = 7;
constexpr std::uint32_t kMemLock = 8;

TEST_CASE("a task begins as user 0 with every capability") {
    Machine machine;
    Process process(machine);
    CHECK(process.task.credentials().uid == 0);
    CHECK(process.task.capable(Capability::ipc_lock));
    CHECK(process.task.capable(Capability::sys_rawio));
    CHECK(process.task.limit(Resource::memlock) == kUnlimited);
    CHECK(process.task.limit(Resource::nofile) == 1024);
}

TEST_CASE("tasks have numbers of their own") {
    Machine machine;
    Process one(machine);
    Process two(machine);
    CHECK(one.task.id() != two.task.id());
}

TEST_CASE("capabilities go with user 0, for good") {
    Machine machine;
    Process process(machine);
    CHECK(outcome(process.task.set_user(0)) == "ok");
    CHECK(process.task.capable(Capability::ipc_lock));
    CHECK(outcome(process.task.set_user(1000)) == "ok");
    CHECK(process.task.credentials().uid == 1000);
    for (const Capability capability :
         {Capability::dac_override, Capability::setuid, Capability::ipc_lock, Capability::sys_rawio,
          Capability::sys_admin, Capability::sys_resource}) {
        CHECK_FALSE(process.task.capable(capability));
    }
    CHECK(outcome(process.task.set_user(1000)) == "ok");
    CHECK(outcome(process.task.set_user(0)) == "EPERM");
    CHECK(outcome(process.task.set_user(1001)) == "EPERM");
    CHECK(process.task.credentials().uid == 1000);
}

TEST_CASE("a limit is refused for what is wrong with it first") {
    Machine machine;
    Process process(machine);
    Task& task = process.task;
    CHECK(outcome(task.set_limit(15, {1, 1})) == "ok");
    CHECK(outcome(task.set_limit(16, {1, 1})) == "EINVAL");
    CHECK(outcome(task.set_limit(16, {2, 1})) == "EINVAL");
    CHECK(outcome(task.set_limit(kMemLock, {2, 1})) == "EINVAL");
    CHECK(outcome(task.set_limit(kNoFile, {0, kMostFiles})) == "ok");
    CHECK(outcome(task.set_limit(kNoFile, {0, kMostFiles + 1})) == "EPERM");
    CHECK(outcome(task.set_limit(kNoFile, {0, kUnlimited})) == "EPERM");
    CHECK(outcome(task.set_limit(kNoFile, {kUnlimited, 1})) == "EINVAL");
}

TEST_CASE("a hard limit is lowered by all and raised by CAP_SYS_RESOURCE") {
    Machine machine;
    Process process(machine);
    Task& task = process.task;
    CHECK(outcome(task.set_limit(kMemLock, {0, 65536})) == "ok");
    CHECK(outcome(task.set_limit(kMemLock, {65536, 1 << 20})) == "ok");
    CHECK(task.limit(Resource::memlock) == 65536);
    value(task.set_user(1000));
    CHECK(outcome(task.set_limit(kMemLock, {1 << 20, 1 << 20})) == "ok");
    CHECK(outcome(task.set_limit(kMemLock, {0, (1 << 20) + 1})) == "EPERM");
    CHECK(outcome(task.set_limit(kMemLock, {0, 4096})) == "ok");
    CHECK(outcome(task.set_limit(kMemLock, {0, 8192})) == "EPERM");
    CHECK(task.limit(Resource::memlock) == 0);
}

TEST_CASE("limits are a task's own") {
    Machine machine;
    Process one(machine);
    Process two(machine);
    value(one.task.set_limit(kMemLock, {4096, 4096}));
    CHECK(one.task.limit(Resource::memlock) == 4096);
    CHECK(two.task.limit(Resource::memlock) == kUnlimited);
}

TEST_CASE("an exit takes the memory first and then the files") {
    class Witness final : public File {
      public:
        Witness(Kernel& kernel, Ref<mm::OwnedAddressSpace> mm, std::uint64_t* seen)
            : File(kernel, "witness", O_RDWR, false), mm_(std::move(mm)), seen_(seen) {}
        ~Witness() override { *seen_ = mm_->mapped_bytes(); }

      private:
        Ref<mm::OwnedAddressSpace> mm_;
        std::uint64_t* seen_;
    };
    Machine machine;
    Process process(machine);
    process.map(8192);
    std::uint64_t mapped_at_close = ~std::uint64_t{0};
    value(process.task.files().install(make<Witness>(machine.kernel, process.mm, &mapped_at_close),
                                       16));
    process.task.exit();
    CHECK(mapped_at_close == 0);
    CHECK(process.task.files().open_count() == 0);
}

TEST_CASE("a reference to the address space keeps nothing mapped") {
    Machine machine;
    Ref<mm::AddressSpace> mm;
    {
        Process process(machine);
        process.map(8192);
        mm = process.task.grab_mm();
    }
    CHECK(machine.memory().used_frames() == 0);
    char byte;
    CHECK(outcome(mm->copy_from_user(&byte, 4096, 1)) == "EFAULT");
}

TEST_CASE("a task sleeps until it is woken, also when that came first") {
    Machine machine;
    Process process(machine);
    Sleeper sleeper;
    sleeper.wake();
    CHECK_FALSE(process.task.sleep(sleeper));
    std::thread other([&] { sleeper.wake(); });
    CHECK_FALSE(process.task.sleep(sleeper));
    other.join();
}

TEST_CASE("an interrupt ends one sleep, also when it came first") {
    Machine machine;
    Process process(machine);
    Sleeper sleeper;
    process.task.interrupt();
    CHECK(process.task.sleep(sleeper));
    std::thread other([&] { process.task.interrupt(); });
    CHECK(process.task.sleep(sleeper));
    other.join();
    sleeper.wake();
    CHECK_FALSE(process.task.sleep(sleeper));
}

}  // namespace
}  // namespace kvmiommu::fs
