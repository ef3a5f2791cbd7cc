// SPDX-License-Identifier: MIT
//
// Dirty pages of a type1 container while its page size, its mappings and the tracking change.

#include <barrier>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "type1_scene.h"

namespace kvmiommu::vfio {
namespace {

using test::kPage;
using test::Type1Scene;

constexpr std::uint64_t k64K = 65536;
constexpr std::uint64_t k2M = std::uint64_t{2} << 20;
constexpr std::uint64_t kIova = 0x10000000;

/// A driver that does something of the test's when it is told of an unmap.
class Driver final : public DmaUser {
  public:
    explicit Driver(std::function<void(std::uint64_t, std::uint64_t)> act) : act_(std::move(act)) {}
    void dma_unmap(std::uint64_t iova, std::uint64_t size) override { act_(iova, size); }

  private:
    const std::function<void(std::uint64_t, std::uint64_t)> act_;
};

struct Emulated : Type1Scene {
    Emulated() { REQUIRE(join(soft) == "ok"); }

    /// An unmap with a bitmap of two pages, the second of which is pinned, while the driver that
    /// gives its page up does `meanwhile`.
    std::string unmap_while(const std::function<void()>& meanwhile, std::uint64_t pgsize = kPage) {
        Driver driver([&](std::uint64_t iova, std::uint64_t size) {
            container->unpin_pages(iova, size / kPage);
            meanwhile();
        });
        container->register_device(driver);
        REQUIRE(map(kIova, buffer, 2 * k64K) == "ok");
        REQUIRE(track(true) == "ok");
        REQUIRE(pin(kIova + kPage) == "ok");
        const std::string answer = unmap_dirty(other_block, kIova, 2 * k64K, bitmap, pgsize);
        container->unregister_device(driver);
        return answer;
    }

    const std::uint64_t buffer = process.map(k2M);  // aligned as well as its size allows
    const std::uint64_t bitmap = process.map(kPage);
    const std::uint64_t other_block = process.map(kPage);
};

TEST_CASE("an unmap gives the bits that a driver set before it gave its page up") {
    Emulated scene;
    CHECK(scene.unmap_while([] {}) == "ok");
    CHECK(scene.process.load(scene.bitmap) == 2);
    CHECK(scene.pins() == 0);
}

TEST_CASE("tracking that stops while drivers give their pages up ends an unmap with a bitmap") {
    Emulated scene;
    CHECK(scene.unmap_while([&] { CHECK(scene.track(false) == "ok"); }) == "EINVAL");
    CHECK(scene.process.load(scene.bitmap) == 0);
    CHECK(scene.unmap(kIova, 2 * k64K) == "ok");
}

TEST_CASE("a mapping that takes another's place while drivers give their pages up is clean") {
    Emulated scene;
    CHECK(scene.unmap_while([&] {
        CHECK(scene.track(false) == "ok");
        CHECK(scene.unmap(kIova, 2 * k64K) == "ok");
        CHECK(scene.map(kIova, scene.buffer, k64K) == "ok");
        CHECK(scene.track(true) == "ok");
    }) == "ok");
    CHECK(scene.process.load(scene.bitmap) == 0);
}

TEST_CASE("a mapping that reaches out of the range meanwhile ends an unmap") {
    Emulated scene;
    CHECK(scene.unmap_while([&] {
        CHECK(scene.unmap(kIova, 2 * k64K) == "ok");
        CHECK(scene.map(kIova, scene.buffer, 3 * k64K) == "ok");
    }) == "EINVAL");
    CHECK(scene.unmap(kIova, 3 * k64K) == "ok");
}

TEST_CASE("pages that grow while drivers give their pages up end an unmap with a bitmap") {
    Emulated scene;
    CHECK(scene.unmap_while([&] { CHECK(scene.join(scene.coarse) == "ok"); }) == "EINVAL");
    CHECK(scene.unmap(kIova, 2 * k64K) == "ok");
    scene.leave(scene.coarse);
}

TEST_CASE("bits that were begun in pages of 64 KiB are given in pages of 4 KiB") {
    Emulated scene;
    REQUIRE(scene.join(scene.coarse) == "ok");
    REQUIRE(scene.map(kIova, scene.buffer, 4 * k64K) == "ok");
    REQUIRE(scene.track(true) == "ok");
    CHECK(scene.dirty(kIova, 4 * k64K, scene.bitmap, k64K) == "ok");
    CHECK(scene.process.load(scene.bitmap) == 0xf);
    scene.leave(scene.coarse);
    CHECK(scene.dirty(kIova, 4 * k64K, scene.bitmap, k64K) == "EINVAL");
    CHECK(scene.dirty(kIova, 4 * k64K, scene.bitmap) == "ok");
    CHECK(scene.process.load(scene.bitmap) == ~std::uint64_t{0});
    CHECK(scene.dirty(kIova, 4 * k64K, scene.bitmap) == "ok");
    CHECK(scene.process.load(scene.bitmap) == 0);
}

TEST_CASE("bits that were begun in pages of 4 KiB are given in pages of 64 KiB") {
    Emulated scene;
    REQUIRE(scene.map(kIova, scene.buffer, 4 * k64K) == "ok");
    REQUIRE(scene.track(true) == "ok");
    REQUIRE(scene.join(scene.coarse) == "ok");
    CHECK(scene.unmap_dirty(kIova, 4 * k64K, scene.bitmap, k64K) == "ok");
    CHECK(scene.process.load(scene.bitmap) == 0xf);
    scene.leave(scene.coarse);
}

TEST_CASE("a bitmap that cannot be written keeps its mapping, those before it are gone") {
    Emulated scene;
    const std::uint64_t hole = scene.process.border(kPage);
    // The first mapping's bits are the last word of memory, the second's are in the hole.
    REQUIRE(scene.map(kIova, scene.buffer, 2 * k64K + k64K * 2) == "ok");
    REQUIRE(scene.map(kIova + 4 * k64K, scene.buffer, k64K) == "ok");
    REQUIRE(scene.track(true) == "ok");
    CHECK(scene.unmap_dirty(kIova, 5 * k64K, hole - 8) == "EFAULT");
    CHECK(scene.map(kIova, scene.buffer, 4 * k64K) == "ok");
    CHECK(scene.map(kIova + 4 * k64K, scene.buffer, k64K) == "EEXIST");
}

TEST_CASE("bits that could not be given are still dirty") {
    Emulated scene;
    Driver driver([](std::uint64_t, std::uint64_t) {});
    scene.container->register_device(driver);
    REQUIRE(scene.map(kIova, scene.buffer, k64K) == "ok");
    REQUIRE(scene.track(true) == "ok");
    REQUIRE(scene.pin(kIova + 2 * kPage) == "ok");
    scene.container->unpin_pages(kIova + 2 * kPage, 1);
    CHECK(scene.dirty(kIova, k64K, 0x1000) == "EFAULT");
    CHECK(scene.dirty(kIova, k64K, scene.bitmap) == "ok");
    CHECK(scene.process.load(scene.bitmap) == 4);
    scene.container->unregister_device(driver);
}

// Nothing but the errno is known beforehand: the sanitizers say whether it was right.
TEST_CASE("threads unmap and read dirty bits while others stop tracking, map again and pin") {
    constexpr std::uint64_t kMappings = 4;
    constexpr int kRounds = 300;
    Type1Scene scene;
    REQUIRE(scene.join(scene.soft) == "ok");
    Driver driver([&](std::uint64_t iova, std::uint64_t size) {
        scene.container->unpin_pages(iova, size / kPage);
    });
    scene.container->register_device(driver);
    const std::uint64_t buffer = scene.process.map(kMappings * k64K);
    std::vector<std::function<void(std::uint64_t, std::uint64_t)>> programs;
    programs.emplace_back([&](std::uint64_t block, std::uint64_t bitmap) {
        const std::string answer = scene.unmap_dirty(block, kIova, kMappings * k64K, bitmap, kPage);
        CHECK((answer == "ok" || answer == "EINVAL"));
    });
    programs.emplace_back([&](std::uint64_t block, std::uint64_t bitmap) {
        // Not at a whole word, so that the user's own bits are read as well.
        const std::string answer =
            scene.dirty(block, kIova - kPage, kMappings * k64K + kPage, bitmap, kPage);
        CHECK((answer == "ok" || answer == "EINVAL"));
    });
    programs.emplace_back([&](std::uint64_t block, std::uint64_t) {
        CHECK(scene.track(block, false) == "ok");
        for (std::uint64_t i = 0; i < kMappings; ++i) {
            const auto request =
                Type1Scene::map_request(kIova + i * k64K, buffer + i * k64K, k64K, 3);
            const std::string answer =
                scene.call(scene.process, block, uapi::VFIO_IOMMU_MAP_DMA, request);
            CHECK((answer == "ok" || answer == "EEXIST"));
        }
        CHECK(scene.track(block, true) == "ok");
    });
    programs.emplace_back([&](std::uint64_t, std::uint64_t) {
        for (std::uint64_t i = 0; i < kMappings; ++i) {
            const std::uint64_t iova = kIova + i * k64K + 3 * kPage;
            if (scene.pin(iova) == "ok" && i % 2 == 0) {
                scene.container->unpin_pages(iova, 1);
            }
            std::byte data[64]{};
            const std::string answer =
                test::outcome(scene.container->dma_rw(scene.process.task, iova, data, true));
            CHECK((answer == "ok" || answer == "EINVAL"));
        }
    });
    std::barrier start(static_cast<std::ptrdiff_t>(programs.size()));
    std::vector<std::thread> threads;
    for (const auto& program : programs) {
        const std::uint64_t block = scene.process.map(kPage);
        const std::uint64_t bitmap = scene.process.map(kPage);
        threads.emplace_back([&, block, bitmap] {
            start.arrive_and_wait();
            for (int round = 0; round < kRounds; ++round) {
                program(block, bitmap);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    scene.container->unregister_device(driver);
    CHECK(scene.unmap(0, 0, uapi::VFIO_DMA_UNMAP_FLAG_ALL) == "ok");
    CHECK(scene.pins() == 0);
    CHECK(scene.charged() == 0);
}

}  // namespace
}  // namespace kvmiommu::vfio
