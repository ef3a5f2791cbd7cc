// SPDX-License-Identifier: MIT

#include "mm/physical_memory.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <set>
#include <span>
#include <thread>
#include <vector>

#include "mm/dma_in_flight.h"
#include "support.h"

namespace kvmiommu::mm {
namespace {

using test::Numbers;
using test::outcome;
using test::value;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;

std::unique_ptr<PhysicalMemory> ram(std::uint64_t bytes, std::uint64_t fragment = 0) {
    return value(PhysicalMemory::create(bytes, fragment));
}

TEST_CASE("RAM has a multiple of 64 KiB up to 32 GiB") {
    CHECK(outcome(PhysicalMemory::create(64 * kKiB, 0)) == "ok");
    CHECK(outcome(PhysicalMemory::create(0, 0)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(60 * kKiB, 0)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(kMostRam + 64 * kKiB, 0)) == "EINVAL");
    CHECK(PhysicalMemory::create(4096, 0).error().reason() ==
          "RAM of 0x1000 bytes: must be a multiple of 64 KiB up to 0x800000000");
}

TEST_CASE("a fragment is a power of two from 4 KiB up that divides the RAM") {
    CHECK(outcome(PhysicalMemory::create(kMiB, 4 * kKiB)) == "ok");
    CHECK(outcome(PhysicalMemory::create(kMiB, kMiB)) == "ok");
    CHECK(outcome(PhysicalMemory::create(kMiB, 2 * kKiB)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(kMiB, 12 * kKiB)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(kMiB, 2 * kMiB)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(3 * 64 * kKiB, 128 * kKiB)) == "EINVAL");
    const PhysAddr gib = PhysAddr{1} << 30;
    CHECK(outcome(PhysicalMemory::create(kMiB, 0, gib)) == "ok");
    CHECK(outcome(PhysicalMemory::create(kMiB, 0, kLastRamStart)) == "ok");
    CHECK(outcome(PhysicalMemory::create(kMiB, 0, 0)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(kMiB, 0, gib + gib / 2)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(kMiB, 0, kLastRamStart + gib)) == "EINVAL");
    CHECK(outcome(PhysicalMemory::create(kMiB, 0, ~PhysAddr{0} - gib + 1)) == "EINVAL");
    CHECK(PhysicalMemory::create(kMiB, 5).error().reason() ==
          "fragments of 0x5 bytes: must be a power of two from 4 KiB up that divides the RAM of "
          "0x100000 bytes");
}

TEST_CASE("a frame that is freed while a device accesses memory is reused when it has ended") {
    const auto memory = ram(64 * kKiB);
    const SlotRun run = value(memory->allocate(1, 1));
    const PhysicalRun frame = memory->physical(run);
    memory->pin(frame);
    memory->put(run);
    std::array<std::byte, 8> late{};
    late.fill(std::byte{0xaa});
    {
        const DmaInFlight first(*memory);
        {
            const DmaInFlight second(*memory);
            memory->unpin(frame);
            CHECK(memory->used_frames() == 0);
        }
        // The device comes late: the frame is nobody else's yet.
        CHECK(memory->write(frame.address, late));
        const SlotRun others = value(memory->allocate(15, 1));
        CHECK(outcome(memory->allocate(1, 1)) == "ENOMEM");
        memory->put(others);
        CHECK(memory->used_frames() == 0);
    }
    const SlotRun all = value(memory->allocate(16, 1));
    CHECK(memory->read(frame.address, late));
    CHECK(late == std::array<std::byte, 8>{});
    memory->put(all);
    CHECK(value(memory->allocate(16, 1)).count == 16);
}

TEST_CASE("accesses that begin after a frame was freed do not keep it") {
    const auto memory = ram(64 * kKiB);
    const SlotRun run = value(memory->allocate(16, 1));
    auto access = std::make_unique<DmaInFlight>(*memory);
    memory->put(run);
    for (int i = 0; i < 3; ++i) {
        CHECK(outcome(memory->allocate(1, 1)) == "ENOMEM");
        // The next one begins before this one has ended.
        auto next = std::make_unique<DmaInFlight>(*memory);
        access = std::move(next);
        const SlotRun again = value(memory->allocate(16, 1));
        memory->put(again);
    }
}

TEST_CASE("however accesses end and frames are freed, each frame is free in the end, and zero") {
    const auto memory = ram(kMiB);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (int round = 0; round < 3000; ++round) {
                // An access that does not go on keeps what the others free.
                auto allocated = memory->allocate(1, 1);
                for (; !allocated; allocated = memory->allocate(1, 1)) {
                    std::this_thread::yield();
                }
                const SlotRun run = *allocated;
                const PhysicalRun frame = memory->physical(run);
                std::array<std::byte, 8> bytes{};
                CHECK(memory->read(frame.address, bytes));
                CHECK(bytes == std::array<std::byte, 8>{});
                const DmaInFlight access(*memory);
                memory->put(run);
                bytes.fill(std::byte{0xaa});
                CHECK(memory->write(frame.address, bytes));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(memory->used_frames() == 0);
    CHECK(value(memory->allocate(256, 1)).count == 256);
}

TEST_CASE("labels of frames are a permutation, contiguous in fragments and nowhere else") {
    for (std::uint64_t fragments = 1; fragments <= 40; ++fragments) {
        CAPTURE(fragments);
        const auto memory = ram(fragments * 64 * kKiB, 64 * kKiB);
        const std::uint64_t frames = memory->bytes() / kFrameSize;
        const SlotRun all = value(memory->allocate(frames, 1));
        std::set<PhysAddr> labels;
        PhysAddr end_before = 0;
        for (std::uint64_t slot = all.slot; slot < all.slot + all.count;) {
            const PhysicalRun run = memory->physical({slot, all.slot + all.count - slot});
            CHECK(run.bytes == 64 * kKiB);
            CHECK(run.address != end_before);
            for (std::uint64_t at = 0; at < run.bytes; at += kFrameSize) {
                CHECK(memory->is_ram(run.address + at));
                CHECK(labels.insert(run.address + at).second);
                CHECK(memory->at(run.address + at) == memory->direct(slot + at / kFrameSize));
            }
            end_before = run.address + run.bytes;
            slot += run.bytes / kFrameSize;
        }
        CHECK(labels.size() == frames);
        memory->put(all);
    }
}

TEST_CASE("a run that begins within a fragment ends with it") {
    const auto memory = ram(kMiB, 64 * kKiB);
    CHECK(memory->physical({3, 40}).bytes == 13 * kFrameSize);
    CHECK(memory->physical({3, 5}).bytes == 5 * kFrameSize);
    CHECK(memory->physical({15, 2}).bytes == kFrameSize);
}

TEST_CASE("without fragments all of RAM is contiguous, from above 4 GiB on") {
    const auto memory = ram(kMiB);
    const PhysicalRun run = memory->physical({0, 256});
    CHECK(run.address == kRamStart);
    CHECK(run.bytes == kMiB);
    CHECK_FALSE(memory->is_ram(kRamStart - 1));
    CHECK(memory->is_ram(kRamStart + kMiB - 1));
    CHECK_FALSE(memory->is_ram(kRamStart + kMiB));
}

TEST_CASE("frames are given out aligned, or refused with the number that was asked") {
    const auto memory = ram(kMiB);
    const SlotRun one = value(memory->allocate(1, 1));
    const SlotRun aligned = value(memory->allocate(16, 16));
    CHECK(aligned.slot % 16 == 0);
    CHECK(aligned.slot != one.slot);
    CHECK(memory->used_frames() == 17);
    CHECK(outcome(memory->allocate(256, 1)) == "ENOMEM");
    CHECK(memory->allocate(240, 1).error().reason() == "no 240 free frames in one run");
    CHECK(memory->used_frames() == 17);
    memory->put(one);
    memory->put(aligned);
    CHECK(value(memory->allocate(256, 256)).slot == 0);  // in one piece again
    memory->put({0, 256});
}

TEST_CASE("an allocation that takes what there is stays within granules") {
    const auto memory = ram(kMiB);
    const SlotRun hole = value(memory->allocate(1, 1));
    const SlotRun run = value(memory->allocate_up_to(256, 16));
    CHECK(run.count <= 240);
    CHECK(run.count >= 120);
    CHECK(run.count % 16 == 0);
    CHECK(run.slot % 16 == 0);
    memory->put(run);
    memory->put(hole);
}

TEST_CASE("an allocation that takes what there is gets the last granule and then nothing") {
    const auto memory = ram(128 * kKiB);
    const SlotRun first = value(memory->allocate(16, 16));
    const SlotRun second = value(memory->allocate_up_to(32, 16));
    CHECK(second.count == 16);
    CHECK(outcome(memory->allocate_up_to(16, 16)) == "ENOMEM");
    memory->put(first);
    memory->put(second);
}

TEST_CASE("pinned frames outlive their reference, referenced frames their pin") {
    const auto memory = ram(kMiB);
    const SlotRun run = value(memory->allocate(8, 1));
    const PhysicalRun whole = memory->physical(run);
    memory->pin(whole);
    memory->pin({whole.address, kFrameSize});
    CHECK(memory->pins(whole.address) == 2);
    CHECK(memory->pins(whole.address + kFrameSize) == 1);
    CHECK(memory->pinned_frames() == 8);
    CHECK(memory->total_pins() == 9);
    memory->put(run);
    CHECK(memory->used_frames() == 8);
    memory->unpin(whole);
    CHECK(memory->used_frames() == 1);
    memory->unpin({whole.address, kFrameSize});
    CHECK(memory->used_frames() == 0);

    const SlotRun again = value(memory->allocate(8, 1));
    memory->pin(memory->physical(again));
    memory->unpin(memory->physical(again));
    CHECK(memory->used_frames() == 8);
    memory->put(again);
}

TEST_CASE("a part of a frame pins the frame") {
    const auto memory = ram(kMiB);
    const SlotRun run = value(memory->allocate(1, 1));
    const PhysAddr frame = memory->physical(run).address;
    memory->pin({frame + 100, 8});
    memory->put(run);
    CHECK(memory->used_frames() == 1);
    memory->unpin({frame + 100, 8});
    CHECK(memory->used_frames() == 0);
}

TEST_CASE("frames for tables are zero whatever was in them") {
    const auto memory = ram(kMiB);
    const PhysAddr frame = value(memory->allocate_frames(0));
    CHECK(frame % kFrameSize == 0);
    std::memset(memory->at(frame), 0xff, kFrameSize);
    memory->free_frames(frame, 0);
    const PhysAddr again = value(memory->allocate_frames(0));
    CHECK(again == frame);
    CHECK(std::all_of(memory->at(again), memory->at(again) + kFrameSize,
                      [](std::byte byte) { return byte == std::byte{0}; }));
    memory->free_frames(again, 0);
}

TEST_CASE("frames kept warm for tables are there for everybody when no other is left") {
    const auto memory = ram(kMiB);
    constexpr std::uint64_t kFrames = kMiB / kFrameSize;
    FrameChain freed;
    std::vector<PhysAddr> tables;
    for (std::uint64_t i = 0; i < kFrames; ++i) {
        tables.push_back(value(memory->allocate_frames(0)));
        memory->push(freed, tables.back());
    }
    std::ranges::sort(tables);
    CHECK(std::ranges::adjacent_find(tables) == tables.end());
    CHECK(memory->used_frames() == kFrames);
    CHECK(memory->allocate_frames(0).error().error() == ENOMEM);
    CHECK(memory->allocate(1, 1).error().error() == ENOMEM);

    CHECK(freed.count == kFrames);
    memory->free_frames(freed);
    CHECK(memory->used_frames() == 0);
    const SlotRun all = value(memory->allocate(kFrames, 1));
    CHECK(memory->allocate_frames(0).error().error() == ENOMEM);
    memory->put(all);
    memory->free_frames(value(memory->allocate_frames(0)), 0);
    CHECK(memory->used_frames() == 0);
}

TEST_CASE("a block of any size that is given back is there again") {
    const auto memory = ram(kMiB);
    for (unsigned order = 0; order < 8; ++order) {
        CAPTURE(order);
        const PhysAddr block = value(memory->allocate_frames(order));
        CHECK(memory->used_frames() == std::uint64_t{1} << order);
        memory->free_frames(block, order);
        CHECK(memory->used_frames() == 0);
    }
}

TEST_CASE("threads take blocks and give them back, one by one and in chains") {
    const auto memory = ram(kMiB);
    std::atomic<int> wrong = 0;
    const auto work = [&](std::uint64_t self) {
        for (std::uint64_t round = 0; round < 500; ++round) {
            FrameChain chain;
            for (std::uint64_t each = 0; each < 1 + round % 3; ++each) {
                const PhysAddr block = value(memory->allocate_frames(0));
                // Who has it is alone with it.
                auto* const word = reinterpret_cast<std::uint64_t*>(memory->at(block));
                wrong += *word != 0;
                *word = self;
                wrong += *word != self;
                if (each == 0) {
                    memory->free_frames(block, 0);
                } else {
                    memory->push(chain, block);
                }
            }
            memory->free_frames(chain);
        }
    };
    std::vector<std::thread> threads;
    for (std::uint64_t self = 1; self <= 4; ++self) {
        threads.emplace_back(work, self);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(wrong == 0);
    CHECK(memory->used_frames() == 0);
}

TEST_CASE("what one thread gives back another takes before fresh frames") {
    // This thread takes, another gives back.
    const auto memory = ram(kMiB);
    std::set<PhysAddr> used;
    for (int round = 0; round < 100; ++round) {
        std::vector<PhysAddr> blocks;
        for (int each = 0; each < 3; ++each) {
            blocks.push_back(value(memory->allocate_frames(0)));
        }
        used.insert(blocks.begin(), blocks.end());
        std::thread([&] {
            for (const PhysAddr block : blocks) {
                memory->free_frames(block, 0);
            }
        }).join();
        CHECK(memory->used_frames() == 0);
    }
    CHECK(used.size() <= 64);  // those that came with the first
}

TEST_CASE("reads and writes cross fragments in the order of physical addresses") {
    const auto memory = ram(kMiB, 4 * kKiB);
    std::vector<std::byte> out(3 * kFrameSize + 200);
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<std::byte>(i / 7 + i);
    }
    const PhysAddr from = kRamStart + 5 * kFrameSize - 100;
    CHECK(memory->write(from, out));
    std::vector<std::byte> in(out.size());
    CHECK(memory->read(from, in));
    CHECK(in == out);
    CHECK(*memory->at(from) == out[0]);
    CHECK(*memory->at(from + 100) == out[100]);
    CHECK(*memory->at(from + 100 + kFrameSize) == out[100 + kFrameSize]);
}

TEST_CASE("a read or a write that is not all RAM moves nothing") {
    const auto memory = ram(kMiB);
    std::array<std::byte, 8> bytes{};
    bytes.fill(std::byte{7});
    const PhysAddr end = kRamStart + kMiB;
    CHECK_FALSE(memory->write(end - 4, bytes));
    CHECK(*memory->at(end - 4) == std::byte{0});
    CHECK_FALSE(memory->read(end - 4, bytes));
    CHECK(bytes[0] == std::byte{7});
    CHECK_FALSE(memory->read(kRamStart - 4, bytes));
    CHECK_FALSE(memory->read(~PhysAddr{0} - 3, bytes));
    CHECK(memory->read(end - 8, bytes));
    CHECK(memory->write(0, std::span<const std::byte>{}));
    CHECK(memory->read(0, std::span<std::byte>{}));
}

// A count of references and of pins for each frame, by slot and by label.
class Brute {
  public:
    static constexpr std::uint64_t kFrames = 64;

    Brute(std::uint64_t seed, std::uint64_t fragment)
        : memory_(ram(kFrames * kFrameSize, fragment)), numbers_(seed) {}

    void run(unsigned steps) {
        for (unsigned step = 0; step < steps; ++step) {
            switch (numbers_.below(6)) {
                case 0:
                case 1:
                    allocate();
                    break;
                case 2:
                    get();
                    break;
                case 3:
                    put();
                    break;
                case 4:
                    pin();
                    break;
                default:
                    unpin();
            }
            check();
        }
        while (!references_.empty()) {
            put();
        }
        while (!pins_.empty()) {
            unpin();
        }
        check();
        CHECK(memory_->used_frames() == 0);
    }

  private:
    void allocate() {
        const std::uint64_t wanted = 1 + numbers_.below(20);
        const std::uint64_t alignment = 1ULL << numbers_.below(4);
        const auto run = memory_->allocate(wanted, alignment);
        if (!run) {
            return;
        }
        for (std::uint64_t slot = run->slot; slot < run->slot + run->count; ++slot) {
            REQUIRE(referenced_[slot] + pinned_[slot] == 0);
            const std::byte* const frame = memory_->direct(slot);
            REQUIRE(std::all_of(frame, frame + kFrameSize,
                                [](std::byte byte) { return byte == std::byte{0}; }));
            std::memset(memory_->direct(slot), 0xa5, kFrameSize);
        }
        count(referenced_, *run, 1);
        references_.push_back(*run);
    }

    void get() {
        if (references_.empty()) {
            return;
        }
        const SlotRun run = part(references_[numbers_.below(references_.size())]);
        memory_->get(run);
        count(referenced_, run, 1);
        references_.push_back(run);
    }

    void put() {
        if (references_.empty()) {
            return;
        }
        const SlotRun run = remove(references_);
        count(referenced_, run, -1);
        memory_->put(run);
    }

    void pin() {
        if (references_.empty()) {
            return;
        }
        SlotRun run = part(references_[numbers_.below(references_.size())]);
        const PhysicalRun physical = memory_->physical(run);
        run.count = physical.bytes / kFrameSize;
        memory_->pin(physical);
        count(pinned_, run, 1);
        pins_.push_back(run);
    }

    void unpin() {
        if (pins_.empty()) {
            return;
        }
        const SlotRun run = remove(pins_);
        count(pinned_, run, -1);
        memory_->unpin(memory_->physical(run));
    }

    void check() const {
        std::uint64_t used = 0;
        std::uint64_t pinned = 0;
        std::uint64_t total = 0;
        for (std::uint64_t slot = 0; slot < kFrames; ++slot) {
            used += referenced_[slot] + pinned_[slot] != 0;
            pinned += pinned_[slot] != 0;
            total += pinned_[slot];
            REQUIRE(memory_->pins(memory_->physical({slot, 1}).address) == pinned_[slot]);
            if (referenced_[slot] + pinned_[slot] != 0) {
                REQUIRE(*memory_->direct(slot) == std::byte{0xa5});
            }
        }
        REQUIRE(memory_->used_frames() == used);
        REQUIRE(memory_->pinned_frames() == pinned);
        REQUIRE(memory_->total_pins() == total);
    }

    using Counts = std::array<std::uint32_t, kFrames>;
    static void count(Counts& counts, SlotRun run, int step) {
        for (std::uint64_t slot = run.slot; slot < run.slot + run.count; ++slot) {
            counts[slot] += static_cast<std::uint32_t>(step);
        }
    }
    SlotRun part(SlotRun run) {
        const std::uint64_t skip = numbers_.below(run.count);
        return {run.slot + skip, 1 + numbers_.below(run.count - skip)};
    }
    SlotRun remove(std::vector<SlotRun>& runs) {
        const auto at = runs.begin() + static_cast<std::ptrdiff_t>(numbers_.below(runs.size()));
        const SlotRun run = *at;
        runs.erase(at);
        return run;
    }

    std::unique_ptr<PhysicalMemory> memory_;
    Numbers numbers_;
    std::vector<SlotRun> references_;
    std::vector<SlotRun> pins_;
    Counts referenced_{};
    Counts pinned_{};
};

TEST_CASE("references and pins in any order free a frame with the last of both, and zero it") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        for (const std::uint64_t fragment : {0 * kKiB, 4 * kKiB, 32 * kKiB}) {
            CAPTURE(seed);
            CAPTURE(fragment);
            Brute(seed, fragment).run(300);
        }
    }
}

TEST_CASE("a pin over labels of several fragments holds the frames behind these labels") {
    const auto memory = ram(kMiB, 4 * kKiB);
    const SlotRun all = value(memory->allocate(256, 1));
    const PhysicalRun run{kRamStart + 10 * kFrameSize, 4 * kFrameSize};
    memory->pin(run);
    memory->put(all);
    CHECK(memory->used_frames() == 4);
    for (std::uint64_t slot = 0; slot < 256; ++slot) {
        const PhysAddr label = memory->physical({slot, 1}).address;
        const bool within = label >= run.address && label < run.address + run.bytes;
        CHECK(memory->pins(label) == (within ? 1 : 0));
    }
    memory->unpin(run);
    CHECK(memory->used_frames() == 0);
}

TEST_CASE("a long run reads as zero when it is used again") {
    const auto memory = ram(kMiB);
    const SlotRun run = value(memory->allocate(128, 1));
    std::memset(memory->direct(run.slot), 0x5a, 128 * kFrameSize);
    memory->put(run);
    const SlotRun again = value(memory->allocate(128, 1));
    const std::byte* const start = memory->direct(again.slot);
    CHECK(std::all_of(start, start + 128 * kFrameSize,
                      [](std::byte byte) { return byte == std::byte{0}; }));
    memory->put(again);
}

}  // namespace
}  // namespace kvmiommu::mm
