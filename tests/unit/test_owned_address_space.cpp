// SPDX-License-Identifier: MIT

#include "mm/owned_address_space.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "support.h"

namespace kvmiommu::mm {
namespace {

using test::Machine;
using test::Numbers;
using test::outcome;
using test::Process;
using test::value;

constexpr int kRead = PROT_READ;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;

MapRequest shared_file(const Ref<Shmem>& file, std::uint64_t length, std::uint64_t offset = 0) {
    MapRequest request;
    request.length = length;
    request.protection = kReadWrite;
    request.shared = true;
    request.backing = file;
    request.offset = offset;
    return request;
}

MapRequest private_file(const Ref<Shmem>& file, std::uint64_t length) {
    MapRequest request = shared_file(file, length);
    request.shared = false;
    return request;
}

MapRequest over(std::uint64_t address, std::uint64_t length, int protection = kReadWrite) {
    MapRequest request;
    request.length = length;
    request.protection = protection;
    request.fixed = address;
    return request;
}

TEST_CASE("mprotect behind the last mapping of a process ends with ENOMEM") {
    Machine machine;
    Process process(machine);
    const std::uint64_t hole = process.border(4096);
    CHECK(outcome(process.mm->protect(hole, 4096, PROT_READ)) == "ENOMEM");
    CHECK(outcome(process.mm->protect(hole - 4096, 8192, PROT_READ)) == "ENOMEM");
    value(process.mm->unmap(hole - 4096, 4096));
    CHECK(outcome(process.mm->protect(hole, 4096, PROT_READ)) == "ENOMEM");
}

TEST_CASE("a user address is a real address") {
    Machine machine;
    Process process(machine);
    const std::uint64_t address = process.map(8192);
    process.store<std::uint64_t>(address + 4092, 0x1122334455667788);
    std::uint64_t seen;
    std::memcpy(&seen, reinterpret_cast<void*>(address + 4092), sizeof seen);
    CHECK(seen == 0x1122334455667788);
    *reinterpret_cast<std::uint32_t*>(address + 8) = 42;
    CHECK(process.load<std::uint32_t>(address + 8) == 42);
}

TEST_CASE("a mapping is zero, of whole pages, and has nothing behind it") {
    for (const std::uint64_t page : {4096, 65536}) {
        CAPTURE(page);
        Machine machine({.page_size = page});
        Process process(machine);
        const std::uint64_t address = process.map(page + 1);
        CHECK(address % page == 0);
        CHECK(process.mm->mapped_bytes() == 2 * page);
        CHECK(process.load<std::uint8_t>(address + 2 * page - 1) == 0);
        CHECK(process.load_signal(address + 2 * page) == Signal::segv);
        CHECK(process.load_signal(address - 1) == Signal::segv);
    }
}

TEST_CASE("what cannot be mapped is refused") {
    Machine machine;
    Process process(machine);
    const auto map = [&](std::uint64_t length, std::uint64_t offset = 0,
                         std::uint64_t alignment = 0) {
        MapRequest request;
        request.length = length;
        request.offset = offset;
        request.alignment = alignment;
        return outcome(process.mm->map(request));
    };
    CHECK(map(0) == "EINVAL");
    CHECK(map(4096, 1) == "EINVAL");
    CHECK(map(4096, 0, 12288) == "EINVAL");
    CHECK(map(~std::uint64_t{0}) == "ENOMEM");
    CHECK(map(kTaskSize + 1) == "ENOMEM");
    CHECK(map(65 << 20) == "ENOMEM");  // more than there is RAM: no overcommit
    CHECK(map(4096, ~std::uint64_t{4095}) == "EOVERFLOW");
    CHECK(process.mm->mapped_bytes() == 0);
    CHECK(machine.memory().used_frames() == 0);
}

TEST_CASE("addresses are aligned as asked, large mappings to 2 MiB") {
    Machine machine;
    Process process(machine);
    MapRequest request;
    request.length = 4096;
    request.protection = kReadWrite;
    request.alignment = 1 << 30;
    CHECK(value(process.mm->map(request)) % (1 << 30) == 0);
    CHECK(process.map(2 << 20) % (2 << 20) == 0);
    CHECK(process.map(3 << 20) % (2 << 20) == 0);
}

TEST_CASE("munmap refuses what the kernel refuses") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    CHECK(outcome(process.mm->unmap(at + 1, 4096)) == "EINVAL");
    CHECK(outcome(process.mm->unmap(at, 0)) == "EINVAL");
    CHECK(outcome(process.mm->unmap(kTaskSize, 4096)) == "EINVAL");
    CHECK(outcome(process.mm->unmap(kTaskSize - 4096, 8192)) == "EINVAL");
    CHECK(outcome(process.mm->unmap(at, ~std::uint64_t{0})) == "EINVAL");
    CHECK(outcome(process.mm->unmap(std::uint64_t{1} << 63, 4096)) == "EINVAL");
    CHECK(process.mm->mapped_bytes() == 16384);
    CHECK(outcome(process.mm->unmap(kTaskSize - 4096, 1)) == "ok");
    CHECK(outcome(process.mm->unmap(at, 1)) == "ok");
    CHECK(process.mm->mapped_bytes() == 12288);
}

TEST_CASE("holes are no error for munmap") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(8 * 4096);
    CHECK(outcome(process.mm->unmap(at + 2 * 4096, 4096)) == "ok");
    CHECK(outcome(process.mm->unmap(at + 2 * 4096, 4096)) == "ok");
    CHECK(process.load_signal(at + 2 * 4096) == Signal::segv);
    CHECK(process.load_signal(at + 2 * 4096 - 1) == Signal::none);
    CHECK(process.load_signal(at + 3 * 4096) == Signal::none);
    CHECK(outcome(process.mm->unmap(at, 8 * 4096)) == "ok");
    CHECK(outcome(process.mm->unmap(at, 8 * 4096)) == "ok");
    CHECK(machine.memory().used_frames() == 0);
}

TEST_CASE("munmap over several mappings takes what lies between") {
    Machine machine;
    Process process(machine);
    const std::uint64_t a = process.map(16384);
    const std::uint64_t b = process.map(16384);
    const std::uint64_t low = std::min(a, b);
    const std::uint64_t high = std::max(a, b);
    CHECK(outcome(process.mm->unmap(low + 8192, high - low)) == "ok");
    CHECK(process.mm->mapped_bytes() == 16384);
    CHECK(process.load_signal(low + 4096) == Signal::none);
    CHECK(process.load_signal(high + 8192) == Signal::none);
    CHECK(process.load_signal(high) == Signal::segv);
}

TEST_CASE("mprotect refuses what the kernel refuses, in its order") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    const auto protect = [&](std::uint64_t address, std::uint64_t length, int protection) {
        return outcome(process.mm->protect(address, length, protection));
    };
    CHECK(protect(at + 1, 4096, kRead) == "EINVAL");
    CHECK(protect(at + 1, 0, kRead) == "EINVAL");
    CHECK(protect(at, 0, 0x100) == "ok");
    CHECK(protect(at, 0, kRead) == "ok");
    CHECK(protect(at, 4096, 0x100) == "EINVAL");
    CHECK(protect(at, 4096, 8 | kReadWrite) == "ok");  // PROT_SEM
    CHECK(protect(at, 4096, PROT_GROWSDOWN | kRead) == "EINVAL");
    CHECK(protect(at, ~std::uint64_t{0}, 0x100) == "ENOMEM");
    CHECK(protect(at, ~std::uint64_t{0}, kRead) == "ENOMEM");
    CHECK(protect(at, ~std::uint64_t{8191}, kRead) == "ENOMEM");
    CHECK(protect(at - 4096, 8192, kRead) == "ENOMEM");
    CHECK(process.store_signal(at) == Signal::none);
    CHECK(protect(at, 1, kRead) == "ok");
    CHECK(process.store_signal(at + 4095) == Signal::segv);
    CHECK(process.store_signal(at + 4096) == Signal::none);
}

TEST_CASE("mprotect that meets a hole has changed what lies before it") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    value(process.mm->unmap(at + 8192, 4096));
    CHECK(outcome(process.mm->protect(at, 16384, kRead)) == "ENOMEM");
    CHECK(process.store_signal(at + 4096) == Signal::segv);
    CHECK(process.store_signal(at + 12288) == Signal::none);
}

TEST_CASE("memory keeps its bytes through every change of protection") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(12288);
    process.store<std::uint64_t>(at + 4096, 77);
    for (const int protection : {PROT_NONE, PROT_WRITE, PROT_EXEC, kRead}) {
        value(process.mm->protect(at + 4096, 4096, protection));
        CHECK(process.load_signal(at + 4096) ==
              (protection == PROT_NONE ? Signal::segv : Signal::none));
        CHECK(process.store_signal(at + 4104) ==
              (protection == PROT_WRITE ? Signal::none : Signal::segv));
        if (protection != PROT_NONE) {
            CHECK(*reinterpret_cast<std::uint64_t*>(at + 4096) == 77);
        }
    }
    CHECK(process.load(at + 4096) == 77);
}

TEST_CASE("a copy to or from a bad address is EFAULT, with what lies before it copied") {
    Machine machine;
    Process process(machine);
    const std::uint64_t border = process.border(8192);
    process.store_text(border - 8, "kvmiommu");
    std::array<char, 16> bytes{};
    const auto in = process.mm->copy_from_user(bytes.data(), border - 8, 16);
    CHECK(outcome(in) == "EFAULT");
    CHECK(std::string(bytes.data(), 8) == "kvmiommu");
    CHECK(bytes[8] == 0);
    CHECK(outcome(process.mm->copy_to_user(border - 4, "VFIOVFIO", 8)) == "EFAULT");
    CHECK(process.load_text(border - 8, 8) == "kvmiVFIO");
    CHECK(outcome(process.mm->copy_from_user(bytes.data(), 0, 1)) == "EFAULT");
    CHECK(outcome(process.mm->copy_from_user(bytes.data(), ~std::uint64_t{0}, 2)) == "EFAULT");
    CHECK(outcome(process.mm->copy_to_user(std::uint64_t{1} << 63, bytes.data(), 1)) == "EFAULT");
    CHECK(outcome(process.mm->copy_from_user(bytes.data(), 8, 0)) == "ok");
    CHECK(outcome(process.mm->copy_to_user(8, bytes.data(), 0)) == "ok");
}

TEST_CASE("a copy goes by the protection") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(4096);
    std::uint64_t word = 5;
    const auto in = [&] { return outcome(process.mm->copy_from_user(&word, at, sizeof word)); };
    const auto out = [&] { return outcome(process.mm->copy_to_user(at, &word, sizeof word)); };
    value(process.mm->protect(at, 4096, kRead));
    CHECK(in() == "ok");
    CHECK(out() == "EFAULT");
    value(process.mm->protect(at, 4096, PROT_NONE));
    CHECK(in() == "EFAULT");
    CHECK(out() == "EFAULT");
    value(process.mm->protect(at, 4096, PROT_WRITE));
    CHECK(in() == "ok");
    CHECK(out() == "ok");
}

TEST_CASE("a count of bytes that wraps finds the end of the mapping") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(4096);
    CHECK(outcome(process.mm->view(at, ~std::uint64_t{0})) == "EFAULT");
    CHECK(outcome(process.mm->view(at + 100, ~std::uint64_t{0})) == "EFAULT");
    CHECK(outcome(process.mm->view(at, ~std::uint64_t{4095})) == "EFAULT");
}

TEST_CASE("user pointers copy whole values and walk arrays") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(4096);
    const UserPtr<std::uint32_t> words(at + 4080);
    value(words[2].write(*process.mm, 9));
    CHECK(value(words[2].read(*process.mm)) == 9);
    CHECK(process.load<std::uint32_t>(at + 4088) == 9);
    CHECK(words.offset<std::uint64_t>(16).address() == at + 4096);
    CHECK(outcome(words[4].read(*process.mm)) == "EFAULT");
    CHECK(outcome(words.offset<std::uint64_t>(12).read(*process.mm)) == "EFAULT");
}

TEST_CASE("past the end of a file is SIGBUS, outside of a mapping SIGSEGV, for a copy EFAULT") {
    Machine machine;
    Process process(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 5000);
    const std::uint64_t at = value(process.mm->map(shared_file(file, 16384)));
    CHECK(process.load_signal(at + 8191) == Signal::none);
    CHECK(process.load_signal(at + 8192) == Signal::bus);
    CHECK(process.store_signal(at + 8192) == Signal::bus);
    CHECK(process.load_signal(at + 16384) == Signal::segv);
    char byte = 0;
    CHECK(outcome(process.mm->copy_from_user(&byte, at + 8192, 1)) == "EFAULT");
    CHECK(outcome(process.mm->pin(at + 8192, 4096, Access::read)) == "EFAULT");
    file->resize(16384);
    CHECK(process.load_signal(at + 8192) == Signal::none);
    file->resize(0);
    CHECK(process.load_signal(at) == Signal::bus);
}

TEST_CASE("SIGBUS goes by the page of the machine") {
    Machine machine({.page_size = 65536});
    Process process(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 65536, 5000);
    const std::uint64_t at = value(process.mm->map(shared_file(file, 131072)));
    CHECK(process.load_signal(at + 65535) == Signal::none);
    CHECK(process.load_signal(at + 65536) == Signal::bus);
}

TEST_CASE("shared mappings show one file, also to another process") {
    Machine machine;
    Process one(machine);
    Process two(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 8192);
    const std::uint64_t a = value(one.mm->map(shared_file(file, 8192)));
    const std::uint64_t b = value(two.mm->map(shared_file(file, 4096, 4096)));
    one.store<std::uint64_t>(a + 4096, 123);
    CHECK(two.load(b) == 123);
    CHECK(*reinterpret_cast<std::uint64_t*>(b) == 123);
}

TEST_CASE("a private mapping of a file is a copy of its own") {
    Machine machine;
    Process process(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 8192);
    const std::uint64_t shared = value(process.mm->map(shared_file(file, 8192)));
    process.store<std::uint64_t>(shared, 1);
    process.store<std::uint64_t>(shared + 4096, 2);
    const std::uint64_t copy = value(process.mm->map(private_file(file, 16384)));
    CHECK(process.load(copy) == 1);
    CHECK(process.load(copy + 4096) == 2);
    process.store<std::uint64_t>(copy, 10);
    CHECK(process.load(shared) == 1);
    CHECK(process.store_signal(copy + 8192) == Signal::bus);
}

TEST_CASE("what is written to a private mapping never reaches the file, even when it grows") {
    Machine machine;
    Process process(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 4096);
    const std::uint64_t copy = value(process.mm->map(private_file(file, 12288)));
    value(process.mm->unmap(copy + 4096, 4096));
    file->resize(12288);
    const char byte = 1;
    process.mm->poke(copy + 8192, &byte, 1);
    const std::uint64_t shared = value(process.mm->map(shared_file(file, 12288)));
    CHECK(process.load(shared + 8192) == 0);
}

TEST_CASE("a private copy is whole where memory is in pieces") {
    Machine machine({.ram = 1 << 20});
    Process process(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 65536);
    const std::uint64_t shared = value(process.mm->map(shared_file(file, 65536)));
    std::vector<std::uint64_t> pages;
    for (int i = 0; i < 200; ++i) {
        pages.push_back(process.map(4096));
    }
    for (std::size_t i = 0; i < pages.size(); i += 2) {
        value(process.mm->unmap(pages[i], 4096));
    }
    const std::uint64_t rest = process.map(128 << 10);
    for (std::uint64_t page = 0; page < 16; ++page) {
        process.store(shared + page * 4096 + 8, page + 1);
    }
    const std::uint64_t copy = value(process.mm->map(private_file(file, 65536)));
    for (std::uint64_t page = 0; page < 16; ++page) {
        CHECK(process.load(copy + page * 4096 + 8) == page + 1);
        CHECK(*reinterpret_cast<std::uint64_t*>(copy + page * 4096 + 8) == page + 1);
    }
    value(process.mm->unmap(rest, 128 << 10));
}

TEST_CASE("mprotect gives a shared mapping no more than the file was opened for") {
    Machine machine;
    Process process(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 8192);
    MapRequest request = shared_file(file, 8192);
    request.protection = kRead;
    request.most_protection = PROT_READ | PROT_EXEC;
    const std::uint64_t at = value(process.mm->map(request));
    CHECK(outcome(process.mm->protect(at, 8192, kReadWrite)) == "EACCES");
    CHECK(outcome(process.mm->protect(at, 8192, PROT_EXEC)) == "ok");
    CHECK(outcome(process.mm->protect(at, 8192, PROT_NONE)) == "ok");
}

TEST_CASE("mprotect that is refused in the second mapping has changed the first") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384, kRead);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 8192);
    MapRequest request = shared_file(file, 8192);
    request.protection = kRead;
    request.most_protection = PROT_READ | PROT_EXEC;
    request.fixed = at + 8192;
    value(process.mm->map(request));
    CHECK(outcome(process.mm->protect(at, 16384, kReadWrite)) == "EACCES");
    CHECK(process.store_signal(at) == Signal::none);
    CHECK(process.store_signal(at + 8192) == Signal::segv);
}

TEST_CASE("MAP_FIXED takes the place of what lies there") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    for (std::uint64_t page = 0; page < 4; ++page) {
        process.store(at + page * 4096, page + 1);
    }
    CHECK(value(process.mm->map(over(at + 4096, 8192))) == at + 4096);
    CHECK(process.load(at) == 1);
    CHECK(process.load(at + 4096) == 0);
    CHECK(process.load(at + 8192) == 0);
    CHECK(process.load(at + 12288) == 4);
    CHECK(machine.memory().used_frames() == 4);
}

TEST_CASE("MAP_FIXED fills what was unmapped, and takes all of a mapping's place") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    value(process.mm->unmap(at + 4096, 4096));
    CHECK(outcome(process.mm->map(over(at + 4096, 4096, kRead))) == "ok");
    CHECK(process.store_signal(at + 4096) == Signal::segv);
    CHECK(outcome(process.mm->map(over(at, 16384))) == "ok");
    CHECK(process.store_signal(at + 4096) == Signal::none);
    CHECK(process.mm->mapped_bytes() == 16384);
    value(process.mm->unmap(at, 16384));
    CHECK(process.mm->mapped_bytes() == 0);
}

TEST_CASE("MAP_FIXED works where the process has had something") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    CHECK(outcome(process.mm->map(over(at + 1, 4096))) == "EINVAL");
    CHECK(outcome(process.mm->map(over(at + 8192, 16384))) == "ENOMEM");
    CHECK(outcome(process.mm->map(over(0, 4096))) == "ENOMEM");
    CHECK(outcome(process.mm->map(over(~std::uint64_t{4095}, 8192))) == "ENOMEM");
    CHECK(process.mm->mapped_bytes() == 16384);
}

TEST_CASE("a mapping that memory does not suffice for leaves nothing") {
    Machine machine({.ram = 256 << 10});
    Process process(machine);
    const std::uint64_t at = process.map(128 << 10);
    CHECK(outcome(process.mm->map(over(at, 16384))) == "ok");
    MapRequest request;
    request.length = 192 << 10;
    request.protection = kReadWrite;
    CHECK(outcome(process.mm->map(request)) == "ENOMEM");
    CHECK(process.mm->mapped_bytes() == 128 << 10);
    CHECK(machine.memory().used_frames() == 32);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 1 << 20);
    CHECK(outcome(process.mm->map(shared_file(file, 1 << 20))) == "ENOMEM");
    CHECK(outcome(process.mm->map(private_file(file, 1 << 20))) == "ENOMEM");
    CHECK(process.mm->mapped_bytes() == 128 << 10);
}

// Can the host's kernel read a byte there? Without a fault, whatever the answer.
bool host_readable(std::uint64_t address) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const bool readable = syscall(SYS_write, ends[1], address, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return readable;
}

TEST_CASE("a shared mapping that memory does not suffice for shows nothing of its file") {
    Machine machine({.ram = 256 << 10});
    Process process(machine);
    const std::uint64_t at = process.map(192 << 10);
    value(process.mm->unmap(at + 4096, (192 << 10) - 4096));
    const std::uint64_t rest = process.map(160 << 10);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 128 << 10);
    MapRequest request = shared_file(file, 128 << 10);
    request.fixed = at + 4096;
    CHECK(outcome(process.mm->map(request)) == "ENOMEM");
    CHECK(process.load_signal(at + 4096) == Signal::segv);
    CHECK_FALSE(host_readable(at + 4096));
    CHECK(host_readable(at));
    CHECK(host_readable(rest));
}

TEST_CASE("a pin answers the run behind its pages") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(1 << 20);
    process.store<std::uint64_t>(at + 4096, 55);
    const PhysicalRun run = value(process.mm->pin(at + 4096, 65536, Access::write));
    CHECK(run.bytes == 65536);
    CHECK(machine.memory().pinned_frames() == 16);
    std::uint64_t seen = 0;
    CHECK(machine.memory().read(run.address, std::as_writable_bytes(std::span(&seen, 1))));
    CHECK(seen == 55);
    machine.memory().unpin(run);
}

TEST_CASE("a pin ends with its fragment and with its mapping") {
    Machine machine({.fragment = 16384});
    Process process(machine);
    const std::uint64_t at = process.map(65536);
    std::uint64_t done = 0;
    std::vector<PhysicalRun> runs;
    while (done < 65536) {
        runs.push_back(value(process.mm->pin(at + done, 65536 - done, Access::read)));
        CHECK(runs.back().bytes == 16384);
        done += runs.back().bytes;
    }
    CHECK(done == 65536);
    runs.push_back(value(process.mm->pin(at + 65536 - 4096, 65536, Access::read)));
    CHECK(runs.back().bytes == 4096);
    for (const PhysicalRun& run : runs) {
        machine.memory().unpin(run);
    }
}

TEST_CASE("two fragments are no larger one") {
    Machine machine({.ram = 128 << 10, .fragment = 64 << 10});
    Process process(machine);
    const std::uint64_t at = process.map(128 << 10);
    const PhysicalRun run = value(process.mm->pin(at, 128 << 10, Access::read));
    CHECK(run.bytes == 64 << 10);
    machine.memory().unpin(run);
}

TEST_CASE("a pin goes on over mappings that are contiguous in memory") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    value(process.mm->protect(at + 8192, 4096, kRead));
    const PhysicalRun run = value(process.mm->pin(at, 16384, Access::read));
    CHECK(run.bytes == 16384);
    machine.memory().unpin(run);
    const PhysicalRun writable = value(process.mm->pin(at, 16384, Access::write));
    CHECK(writable.bytes == 8192);
    machine.memory().unpin(writable);
    CHECK(outcome(process.mm->pin(at + 8192, 4096, Access::write)) == "EFAULT");
}

TEST_CASE("a pin asks the mapping, not the processor, what may be read") {
    Machine machine;
    Process process(machine);
    const auto pin = [&](int protection, Access access) {
        const std::uint64_t at = process.map(4096, protection);
        const auto run = process.mm->pin(at, 4096, access);
        if (run) {
            machine.memory().unpin(*run);
        }
        return outcome(run);
    };
    CHECK(pin(PROT_NONE, Access::read) == "EFAULT");
    CHECK(pin(PROT_READ, Access::read) == "ok");
    CHECK(pin(PROT_READ, Access::write) == "EFAULT");
    CHECK(pin(PROT_WRITE, Access::read) == "EFAULT");
    CHECK(pin(PROT_WRITE, Access::write) == "ok");
    CHECK(pin(PROT_EXEC, Access::read) == "EFAULT");
}

TEST_CASE("nothing can be pinned where nothing is mapped") {
    Machine machine;
    Process process(machine);
    const std::uint64_t border = process.border(4096);
    CHECK(outcome(process.mm->pin(border, 4096, Access::read)) == "EFAULT");
    CHECK(outcome(process.mm->pin(0, 4096, Access::read)) == "EFAULT");
    CHECK(machine.memory().total_pins() == 0);
}

TEST_CASE("a pin outlives munmap and the process") {
    Machine machine;
    PhysicalRun run{};
    {
        Process process(machine);
        const std::uint64_t at = process.map(16384);
        process.store<std::uint64_t>(at, 99);
        run = value(process.mm->pin(at, 16384, Access::write));
        value(process.mm->unmap(at, 16384));
        CHECK(machine.memory().used_frames() == 4);
        const std::uint64_t again = process.map(16384);
        CHECK(process.load(again) == 0);
        CHECK(machine.memory().used_frames() == 8);
    }
    CHECK(machine.memory().used_frames() == 4);
    std::uint64_t seen = 0;
    CHECK(machine.memory().read(run.address, std::as_writable_bytes(std::span(&seen, 1))));
    CHECK(seen == 99);
    machine.memory().unpin(run);
}

TEST_CASE("a view stays what it was, whatever the process unmaps") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    process.store_text(at + 4090, "kvmiommu");
    auto view = value(process.mm->view(at + 4090, 8));
    CHECK(view->bytes() == 8);
    CHECK(std::memcmp(view->data(), "kvmiommu", 8) == 0);
    view->data()[0] = std::byte{'K'};
    CHECK(process.load_text(at + 4090, 8) == "Kvmiommu");
    value(process.mm->unmap(at, 16384));
    CHECK(std::memcmp(view->data(), "Kvmiommu", 8) == 0);
    CHECK(machine.memory().used_frames() == 2);
    process.mm->exit();
    CHECK(std::memcmp(view->data(), "Kvmiommu", 8) == 0);
    view.reset();
    CHECK(machine.memory().used_frames() == 0);
}

TEST_CASE("a view is one piece where memory is many") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(5 * 4096);
    value(process.mm->map(over(at + 4096, 4096)));
    value(process.mm->map(over(at + 3 * 4096, 4096)));
    for (std::uint64_t page = 0; page < 5; ++page) {
        process.store(at + page * 4096, page);
    }
    const auto view = value(process.mm->view(at, 5 * 4096));
    for (std::uint64_t page = 0; page < 5; ++page) {
        std::uint64_t seen;
        std::memcpy(&seen, view->data() + page * 4096, sizeof seen);
        CHECK(seen == page);
    }
}

TEST_CASE("there is no view of what the process could not read") {
    Machine machine;
    Process process(machine);
    const std::uint64_t border = process.border(4096);
    CHECK(outcome(process.mm->view(border - 8, 16)) == "EFAULT");
    CHECK(outcome(process.mm->view(border, 1)) == "EFAULT");
    CHECK(outcome(process.mm->view(border - 8, 0)) == "EINVAL");
    CHECK(machine.memory().used_frames() == 1);
}

TEST_CASE("after its exit a process has nothing and gets nothing") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16384);
    process.mm->exit();
    CHECK(machine.memory().used_frames() == 0);
    CHECK(process.mm->mapped_bytes() == 0);
    char byte = 0;
    CHECK(outcome(process.mm->copy_from_user(&byte, at, 1)) == "EFAULT");
    CHECK(outcome(process.mm->pin(at, 4096, Access::read)) == "EFAULT");
    MapRequest request;
    request.length = 4096;
    CHECK(outcome(process.mm->map(request)) == "ENOMEM");
    process.mm->exit();
}

TEST_CASE("RAM in pieces makes one mapping") {
    Machine machine({.ram = 256 << 10});
    Process process(machine);
    std::vector<std::uint64_t> pages;
    for (int i = 0; i < 64; ++i) {
        pages.push_back(process.map(4096));
    }
    for (std::size_t i = 0; i < pages.size(); i += 2) {
        value(process.mm->unmap(pages[i], 4096));
    }
    const std::uint64_t at = process.map(32 * 4096);
    for (std::uint64_t page = 0; page < 32; ++page) {
        *reinterpret_cast<std::uint64_t*>(at + page * 4096) = page + 1;
    }
    for (std::uint64_t page = 0; page < 32; ++page) {
        CHECK(process.load(at + page * 4096) == page + 1);
    }
    CHECK(outcome(process.mm->unmap(at, 32 * 4096)) == "ok");
}

// A process's memory as a page each: what it allows, and the number that was last written to it.
class Brute {
  public:
    static constexpr std::uint64_t kPages = 24;

    Brute(std::uint64_t seed, std::uint64_t page_size, std::uint64_t fragment)
        : machine_({.ram = 8 << 20, .fragment = fragment, .page_size = page_size}),
          process_(machine_),
          numbers_(seed),
          page_size_(page_size) {
        base_ = process_.map(kPages * page_size);
        pages_.fill(Page{kReadWrite, 0});
        // Keeps the place when everything else is unmapped.
        value(process_.mm->protect(base_, page_size_, PROT_NONE));
        pages_[0]->protection = PROT_NONE;
    }

    void run(unsigned steps) {
        for (unsigned step = 0; step < steps; ++step) {
            const std::uint64_t first = 1 + numbers_.below(kPages - 1);
            const std::uint64_t count = 1 + numbers_.below(kPages - first);
            const std::uint64_t address = base_ + first * page_size_;
            const std::uint64_t bytes = count * page_size_ - numbers_.below(page_size_);
            switch (numbers_.below(4)) {
                case 0:
                    value(process_.mm->unmap(address, bytes));
                    std::fill_n(pages_.begin() + static_cast<std::ptrdiff_t>(first), count,
                                std::nullopt);
                    break;
                case 1:
                    value(process_.mm->map(over(address, bytes, kReadWrite)));
                    std::fill_n(pages_.begin() + static_cast<std::ptrdiff_t>(first), count,
                                Page{kReadWrite, 0});
                    break;
                case 2:
                    protect(first, count, bytes);
                    break;
                default:
                    write(first);
            }
            check();
        }
    }

  private:
    struct Page {
        int protection;
        std::uint64_t number;
    };

    void protect(std::uint64_t first, std::uint64_t count, std::uint64_t bytes) {
        static constexpr int kKinds[] = {PROT_NONE, PROT_READ, kReadWrite, PROT_EXEC};
        const int protection = kKinds[numbers_.below(4)];
        const std::string answer =
            outcome(process_.mm->protect(base_ + first * page_size_, bytes, protection));
        for (std::uint64_t page = first; page < first + count; ++page) {
            if (!pages_[page]) {
                CHECK(answer == "ENOMEM");
                return;
            }
            pages_[page]->protection = protection;
        }
        CHECK(answer == "ok");
    }

    void write(std::uint64_t page) {
        const std::uint64_t number = numbers_.next();
        const auto answer = process_.mm->copy_to_user(base_ + page * page_size_, &number, 8);
        const bool may = pages_[page] && (pages_[page]->protection & PROT_WRITE) != 0;
        CHECK(outcome(answer) == (may ? "ok" : "EFAULT"));
        if (may) {
            pages_[page]->number = number;
        }
    }

    void check() {
        std::uint64_t mapped = 0;
        for (std::uint64_t page = 0; page < kPages; ++page) {
            const std::uint64_t at = base_ + page * page_size_;
            mapped += pages_[page].has_value();
            const bool readable = pages_[page] && pages_[page]->protection != PROT_NONE;
            REQUIRE(process_.load_signal(at + page_size_ - 1) ==
                    (readable ? Signal::none : Signal::segv));
            if (readable) {
                REQUIRE(process_.load(at) == pages_[page]->number);
                REQUIRE(*reinterpret_cast<std::uint64_t*>(at) == pages_[page]->number);
            }
        }
        REQUIRE(process_.mm->mapped_bytes() == mapped * page_size_);
        REQUIRE(machine_.memory().used_frames() == mapped * page_size_ / kFrameSize);
    }

    Machine machine_;
    Process process_;
    Numbers numbers_;
    const std::uint64_t page_size_;
    std::uint64_t base_ = 0;
    std::array<std::optional<Page>, kPages> pages_;
};

TEST_CASE("mappings that are split, filled and protected in any order are pages") {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        CAPTURE(seed);
        Brute(seed, 4096, 0).run(150);
        Brute(seed, 4096, 4096).run(150);
        Brute(seed, 65536, 0).run(100);
        Brute(seed, 65536, 65536).run(100);
    }
}

// Lets all machines of this program have no more than `more` mappings of the host's beyond those
// that they have.
class FewMappings {
  public:
    explicit FewMappings(std::uint64_t more) : before_(all().set_limit(all().charged() + more)) {}
    ~FewMappings() { all().set_limit(before_); }
    static HostMappings& all() { return HostMappings::of_program(); }

  private:
    const std::uint64_t before_;
};

TEST_CASE("at the limit of the host's mappings nothing is cut, and all else goes on") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(16 * 4096);
    process.store(at + 8192, 5);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 16384);
    {
        const FewMappings none(0);
        CHECK(outcome(process.mm->unmap(at + 4096, 4096)) == "ENOMEM");
        CHECK(outcome(process.mm->protect(at + 4096, 4096, kRead)) == "ENOMEM");
        CHECK(outcome(process.mm->map(over(at + 4096, 4096))) == "ENOMEM");
        CHECK(outcome(process.mm->map(shared_file(file, 16384))) == "ENOMEM");
        CHECK(outcome(process.mm->map(private_file(file, 16384))) == "ENOMEM");
        CHECK(outcome(process.mm->view(at, 8)) == "ENOMEM");
        CHECK(outcome(PhysicalMemory::create(1 << 20, 0)) == "ENOMEM");
        CHECK(process.load(at + 8192) == 5);
        CHECK(process.mm->mapped_bytes() == 16 * 4096);
        CHECK(outcome(process.mm->protect(at, 16 * 4096, kRead)) == "ok");
        CHECK(process.store_signal(at + 4096) == Signal::segv);
    }
    {
        const FewMappings one(1);
        CHECK(outcome(process.mm->unmap(at + 4096, 4096)) == "ENOMEM");
        CHECK(outcome(process.mm->unmap(at, 4096)) == "ok");
        CHECK(outcome(process.mm->unmap(at + 4096, 4096)) == "ok");
    }
    CHECK(process.load(at + 8192) == 5);
    const FewMappings none(0);
    process.mm->exit();
    CHECK(machine.memory().used_frames() == 0);
}

TEST_CASE("what a process has unmapped is charged to the program no more") {
    Machine machine;
    const std::uint64_t before = FewMappings::all().charged();
    {
        Process process(machine);
        const std::uint64_t at = process.map(64 * 4096);
        for (std::uint64_t page = 0; page < 64; page += 2) {
            value(process.mm->protect(at + page * 4096, 4096, kRead));
        }
        for (std::uint64_t page = 1; page < 64; page += 3) {
            value(process.mm->unmap(at + page * 4096, 4096));
        }
        CHECK(FewMappings::all().charged() > before + 32);
        value(process.mm->unmap(at, 64 * 4096));
        CHECK(FewMappings::all().charged() == before);
        process.map(8192);
        CHECK(outcome(process.mm->unmap(process.map(8192), 8192)) == "ok");
    }
    CHECK(FewMappings::all().charged() == before);
}

// What a process has, page by page, as it and as the host see it.
struct Seen {
    std::vector<std::uint64_t> numbers;
    std::vector<int> reach;
    std::uint64_t mapped;
    std::uint64_t used_frames;
    bool operator==(const Seen&) const = default;
};

// A process with some pages unmapped, some protected and two files, and calls that meet them all.
class Refused {
  public:
    static constexpr std::uint64_t kPages = 24;
    static constexpr unsigned kCalls = 7;

    explicit Refused(std::uint64_t seed)
        : file_(make<Shmem>(machine_.census(), machine_.memory(), 4096, 6 * 4096)) {
        Numbers numbers(seed);
        base_ = process_.map(kPages * 4096);
        for (std::uint64_t page = 0; page < kPages; ++page) {
            process_.store(base_ + page * 4096, page + 1);
        }
        // A file in pieces.
        for (std::uint64_t page = 0; page < 6; page += 2) {
            value(file_->frames(page * 4096, 4096));
        }
        for (int change = 0; change < 6; ++change) {
            const std::uint64_t first = 1 + numbers.below(kPages - 2);
            const std::uint64_t count = 1 + numbers.below(kPages - 1 - first);
            const std::uint64_t address = base_ + first * 4096;
            switch (numbers.below(3)) {
                case 0:
                    value(process_.mm->unmap(address, 4096));
                    break;
                case 1: {
                    MapRequest request =
                        shared_file(file_, std::min<std::uint64_t>(count, 6) * 4096);
                    request.fixed = address;
                    value(process_.mm->map(request));
                    break;
                }
                default:
                    static_cast<void>(process_.mm->protect(address, count * 4096, kRead));
            }
        }
        first_ = 1 + numbers.below(kPages - 8);
        second_ = process_.map(8192);
    }

    std::string call(unsigned number) {
        const std::uint64_t address = base_ + first_ * 4096;
        MapRequest shared = shared_file(file_, 6 * 4096);
        switch (number) {
            case 0:
                return outcome(process_.mm->unmap(address, 6 * 4096));
            case 1:
                return outcome(process_.mm->protect(base_, kPages * 4096, kReadWrite));
            case 2:
                return outcome(process_.mm->protect(address, 3 * 4096, PROT_NONE));
            case 3:
                return outcome(process_.mm->map(shared));
            case 4:
                return outcome(process_.mm->map(private_file(file_, 6 * 4096)));
            case 5:
                return outcome(process_.mm->view(second_, 8192));
            default:
                return outcome(process_.mm->unmap(base_, kPages * 4096));
        }
    }

    Seen seen() {
        Seen seen{{}, {}, process_.mm->mapped_bytes(), machine_.memory().used_frames()};
        for (std::uint64_t page = 0; page < kPages; ++page) {
            const std::uint64_t at = base_ + page * 4096;
            std::uint64_t number = 0;
            const Signal signal = process_.mm->peek(&number, at, 8);
            const bool writable = outcome(process_.mm->copy_to_user(at, &number, 8)) == "ok";
            seen.numbers.push_back(number);
            seen.reach.push_back(static_cast<int>(signal) * 2 + writable);
            REQUIRE(host_readable(at) == (signal == Signal::none));
            if (signal == Signal::none) {
                REQUIRE(*reinterpret_cast<std::uint64_t*>(at) == number);
            }
        }
        return seen;
    }

  private:
    Machine machine_;
    Process process_{machine_};
    Ref<Shmem> file_;
    std::uint64_t base_ = 0;
    std::uint64_t first_ = 0;
    std::uint64_t second_ = 0;
};

TEST_CASE("a call that the limit of mappings refuses has changed nothing") {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
        for (unsigned call = 0; call < Refused::kCalls; ++call) {
            for (std::uint64_t more = 0; more < 12; ++more) {
                CAPTURE(seed);
                CAPTURE(call);
                CAPTURE(more);
                Refused process(seed);
                const Seen before = process.seen();
                const std::uint64_t charged = FewMappings::all().charged();
                std::string answer;
                {
                    const FewMappings few(more);
                    answer = process.call(call);
                }
                // A hole is ENOMEM, too, with what lies before it changed: those calls are not
                // refused.
                if (answer == "ENOMEM" && call != 1 && call != 2) {
                    CHECK(process.seen().mapped == before.mapped);
                    CHECK(process.seen().reach == before.reach);
                    CHECK(process.seen().numbers == before.numbers);
                    CHECK(FewMappings::all().charged() == charged);
                }
                static_cast<void>(process.seen());
            }
        }
    }
}

TEST_CASE("a call that the host refuses at any of its steps has changed nothing") {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        for (unsigned call = 0; call < Refused::kCalls; ++call) {
            for (std::uint32_t nth = 1; nth < 30; ++nth) {
                CAPTURE(seed);
                CAPTURE(call);
                CAPTURE(nth);
                Refused process(seed);
                const Seen before = process.seen();
                FewMappings::all().faults().fail_nth(nth);
                const std::string answer = process.call(call);
                const bool failed = FewMappings::all().faults().left() == 0;
                FewMappings::all().faults().fail_nth(0);
                const Seen after = process.seen();
                if (answer == "ENOMEM" && call != 1 && call != 2) {
                    CHECK(after.mapped == before.mapped);
                    CHECK(after.reach == before.reach);
                    CHECK(after.numbers == before.numbers);
                }
                if (!failed) {
                    break;
                }
            }
        }
    }
}

TEST_CASE("a process exits whatever the host refuses") {
    for (std::uint32_t nth = 1; nth <= 3; ++nth) {
        CAPTURE(nth);
        Machine machine;
        Process process(machine);
        process.map(8192);
        process.map(8192);
        FewMappings::all().faults().fail_nth(nth);
        process.mm->exit();
        FewMappings::all().faults().fail_nth(0);
        CHECK(machine.memory().used_frames() == 0);
    }
}

TEST_CASE("a file that is cut keeps of its frames what a mapping shows, until that goes") {
    Machine machine;
    Process process(machine);
    const Ref<Shmem> file = make<Shmem>(machine.census(), machine.memory(), 4096, 1 << 20);
    value(file->frames(0, 1 << 20));
    const std::uint64_t at = value(process.mm->map(shared_file(file, 4096)));
    const auto view = value(process.mm->view(at, 8));
    process.store(at, 7);
    file->resize(0);
    CHECK(machine.memory().used_frames() == 1);
    CHECK(process.load_signal(at) == Signal::bus);
    CHECK(*reinterpret_cast<std::uint64_t*>(at) == 7);
    file->resize(4096);
    CHECK(process.load(at) == 0);
    CHECK(machine.memory().used_frames() == 2);
    value(process.mm->unmap(at, 4096));
    CHECK(std::memcmp(view->data(), "\7", 2) == 0);
    CHECK(machine.memory().used_frames() == 2);
}

// Memory of less than a page, with registers behind it.
class Short final : public Backing {
  public:
    Short(Census& census, PhysicalMemory& memory)
        : Backing(census, "short"),
          memory_(memory),
          frames_(memory, value(memory.allocate(1, 16))) {}
    Result<HeldFrames> frames(std::uint64_t, std::uint64_t) override {
        return HeldFrames::get(memory_, frames_.run());
    }
    bool trapped(std::uint64_t) const override { return true; }
    bool load(std::uint64_t, std::span<std::byte> to) override {
        std::memset(to.data(), 0x11, to.size());
        return true;
    }

  private:
    PhysicalMemory& memory_;
    HeldFrames frames_;
};

TEST_CASE("a page that is not all memory is trapped as a whole") {
    Machine machine({.page_size = 65536});
    Process process(machine);
    MapRequest request;
    request.length = 65536;
    request.protection = kReadWrite;
    request.shared = true;
    request.backing = make<Short>(machine.census(), machine.memory());
    const std::uint64_t at = value(process.mm->map(request));
    for (const std::uint64_t offset : {0, 4088, 4096, 65528}) {
        CHECK(process.load(at + offset) == 0x1111111111111111);
    }
    CHECK_FALSE(host_readable(at));
    CHECK(outcome(process.mm->pin(at, 65536, Access::read)) == "EFAULT");
    CHECK(outcome(process.mm->view(at, 8)) == "EFAULT");
    char byte = 0;
    CHECK(outcome(process.mm->copy_from_user(&byte, at, 1)) == "EFAULT");
}

// Contexts of two architectures.
struct OneContext final : MmContext {
    explicit OneContext(PhysicalMemory&) {}
};
struct OtherContext final : MmContext {
    explicit OtherContext(PhysicalMemory&) {}
};

TEST_CASE("an address space has a context of one kind, and none of another") {
    Machine machine;
    Process process(machine);
    OneContext* const context = process.mm->context<OneContext>();
    REQUIRE(context != nullptr);
    CHECK(process.mm->context<OneContext>() == context);
    CHECK(process.mm->context<OtherContext>() == nullptr);
    process.mm->drop_context();
    CHECK(process.mm->context<OtherContext>() != nullptr);
}

}  // namespace
}  // namespace kvmiommu::mm
