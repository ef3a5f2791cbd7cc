// SPDX-License-Identifier: MIT

#include "mm/shmem.h"

#include "support.h"

namespace kvmiommu::mm {
namespace {

using test::Machine;
using test::outcome;
using test::value;

class Pages {
  public:
    explicit Pages(Machine& machine, std::uint64_t size, std::uint64_t page_size = 4096)
        : memory(machine.memory()),
          shmem(make<Shmem>(machine.census(), machine.memory(), page_size, size)) {}

    std::byte& at(std::uint64_t offset) {
        const std::uint64_t page = align_down(offset, 65536);
        for (std::uint64_t from = page;;) {
            const HeldFrames frames = value(shmem->frames(from, 65536));
            if (offset < from + frames.bytes()) {
                return frames.data()[offset - from];
            }
            from += frames.bytes();
        }
    }

    PhysicalMemory& memory;
    Ref<Shmem> shmem;
};

TEST_CASE("pages come into being when they are asked for") {
    Machine machine;
    Pages file(machine, 1 << 20);
    CHECK(machine.memory().used_frames() == 0);
    const HeldFrames run = value(file.shmem->frames(8192, 4096));
    CHECK(run.count() == 1);
    CHECK(machine.memory().used_frames() == 1);
    CHECK(value(file.shmem->frames(8192, 4096)).slot() == run.slot());
}

TEST_CASE("pages that are asked for at once are in one run") {
    Machine machine;
    Pages file(machine, 1 << 20);
    const HeldFrames run = value(file.shmem->frames(0, 1 << 20));
    CHECK(run.count() == 256);
    const HeldFrames tail = value(file.shmem->frames(4096 * 200, 1 << 20));
    CHECK(tail.slot() == run.slot() + 200);
    CHECK(tail.count() == 56);
}

TEST_CASE("a hole between pages is filled as far as it goes") {
    Machine machine;
    Pages file(machine, 1 << 20);
    value(file.shmem->frames(4096 * 8, 4096));
    const HeldFrames before = value(file.shmem->frames(0, 1 << 20));
    CHECK(before.count() == 8);
}

TEST_CASE("past the last page there is nothing, within it there is") {
    Machine machine;
    Pages file(machine, 4097);
    CHECK(outcome(file.shmem->frames(0, 65536)) == "ok");
    CHECK(outcome(file.shmem->frames(4096, 4096)) == "ok");
    CHECK(outcome(file.shmem->frames(8192, 4096)) == "EFAULT");
    CHECK(file.shmem->frames(8192, 4096).error().reason() ==
          "offset 0x2000 is past the end of a file of 0x1001 bytes");
}

TEST_CASE("a file of no bytes has no page") {
    Machine machine;
    Pages file(machine, 0);
    CHECK(outcome(file.shmem->frames(0, 4096)) == "EFAULT");
}

TEST_CASE("pages of 64 KiB are whole and aligned") {
    Machine machine({.page_size = 65536});
    Pages file(machine, 70000, 65536);
    const HeldFrames run = value(file.shmem->frames(65536, 1 << 20));
    CHECK(run.count() == 16);
    CHECK(run.slot() % 16 == 0);
    CHECK(outcome(file.shmem->frames(131072, 65536)) == "EFAULT");
}

TEST_CASE("what is cut off reads as zero when the file grows again") {
    Machine machine;
    Pages file(machine, 16384);
    file.at(100) = std::byte{1};
    file.at(5000) = std::byte{2};
    file.at(4200) = std::byte{3};
    file.at(12000) = std::byte{4};
    file.shmem->resize(4500);
    CHECK(machine.memory().used_frames() == 2);
    file.shmem->resize(16384);
    CHECK(file.at(100) == std::byte{1});
    CHECK(file.at(4200) == std::byte{3});
    CHECK(file.at(5000) == std::byte{0});
    CHECK(file.at(12000) == std::byte{0});
}

TEST_CASE("a cut in the middle of a run keeps its head, wherever it falls") {
    for (std::uint64_t size = 0; size <= 5 * 4096; size += 1024) {
        CAPTURE(size);
        Machine machine;
        Pages file(machine, 5 * 4096);
        for (std::uint64_t offset = 0; offset < 5 * 4096; offset += 512) {
            file.at(offset) = std::byte{9};
            file.at(offset + 511) = std::byte{9};
        }
        file.shmem->resize(size);
        CHECK(machine.memory().used_frames() == (size + 4095) / 4096);
        file.shmem->resize(5 * 4096);
        for (std::uint64_t offset = 0; offset < 5 * 4096; offset += 512) {
            const std::byte expected = offset < size ? std::byte{9} : std::byte{0};
            CHECK(file.at(offset) == expected);
            CHECK(file.at(offset + 511) == expected);
        }
    }
}

TEST_CASE("what is cut off stays for those who hold it, and for nobody else") {
    Machine machine;
    Pages file(machine, 16384);
    value(file.shmem->frames(0, 16384));
    const Ref<Shmem> mapping = file.shmem;
    {
        const HeldFrames held = value(file.shmem->frames(4096, 8192));
        held.data()[0] = std::byte{7};
        file.shmem->resize(0);
        CHECK(machine.memory().used_frames() == 2);
        file.shmem->resize(16384);
        CHECK(file.at(4096) == std::byte{0});
        CHECK(held.data()[0] == std::byte{7});
        CHECK(machine.memory().used_frames() == 2 + 4);
    }
    CHECK(machine.memory().used_frames() == 4);
}

TEST_CASE("a page past the end is kept from the write that makes it on, if the file grows to it") {
    Machine machine;
    Pages file(machine, 100);
    value(file.shmem->page_to_write(8192)).data()[5] = std::byte{1};
    CHECK(machine.memory().used_frames() == 1);
    CHECK(outcome(file.shmem->frames(8192, 4096)) == "EFAULT");
    file.shmem->extend(8198);
    CHECK(file.at(8197) == std::byte{1});
    file.shmem->extend(4096);
    CHECK(file.shmem->size() == 8198);
    value(file.shmem->page_to_write(1 << 20));
    CHECK(machine.memory().used_frames() == 4);
    file.shmem->resize(8198);
    CHECK(machine.memory().used_frames() == 3);
}

TEST_CASE("cut-off pages that are pinned live on for the device alone") {
    Machine machine;
    PhysicalRun pinned{};
    {
        Pages file(machine, 8192);
        pinned = machine.memory().physical(value(file.shmem->frames(0, 4096)).run());
        machine.memory().pin(pinned);
        file.shmem->resize(0);
        CHECK(machine.memory().used_frames() == 1);
        file.shmem->resize(4096);
        CHECK(machine.memory().physical(value(file.shmem->frames(0, 4096)).run()).address !=
              pinned.address);
    }
    CHECK(machine.memory().used_frames() == 1);
    machine.memory().unpin(pinned);
}

TEST_CASE("a file that RAM cannot hold is refused page by page") {
    Machine machine({.ram = 64 << 10});
    Pages file(machine, 1 << 20);
    CHECK(value(file.shmem->frames(0, 1 << 20)).count() == 16);
    CHECK(outcome(file.shmem->frames(65536, 4096)) == "ENOMEM");
}

}  // namespace
}  // namespace kvmiommu::mm
