// SPDX-License-Identifier: MIT
//
// What is pinned and charged for a type1 container: after every call of a random program it is what
// the states of the mappings say (vfio/type1/type1.h).

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "type1_scene.h"

namespace kvmiommu::vfio {
namespace {

using test::kPage;
using test::Numbers;
using test::Process;
using test::Type1Scene;
using test::value;

constexpr std::uint64_t k64K = 65536;
constexpr std::uint64_t k2M = std::uint64_t{2} << 20;

/// A driver that unpins nothing when it is told of an unmap.
class Quiet final : public DmaUser {
  public:
    void dma_unmap(std::uint64_t, std::uint64_t) override {}
};

/// Drivers and mappings as sets of pages; too simple to be wrong.
struct Model {
    struct Mapped {
        std::uint64_t pages = 0;
        bool memory = true;                    // is there some at its user address?
        std::map<std::uint64_t, int> drivers;  // how often a page is pinned
    };
    std::map<std::uint64_t, Mapped> mappings;  // by iova
    std::set<iommu::Group*> hard;

    std::uint64_t driver_pages() const {
        std::uint64_t pages = 0;
        for (const auto& [iova, mapping] : mappings) {
            pages += mapping.drivers.size();
        }
        return pages;
    }
    std::uint64_t iommu_pages() const {
        std::uint64_t pages = 0;
        for (const auto& [iova, mapping] : mappings) {
            pages += hard.empty() ? 0 : mapping.pages;
        }
        return pages;
    }
    std::uint64_t charged() const { return hard.empty() ? driver_pages() : iommu_pages(); }
    std::uint64_t pins() const { return driver_pages() + iommu_pages(); }
};

class Program final : public DmaUser {
  public:
    Program(std::uint64_t seed, std::uint64_t limit) : numbers_(seed), limit_(limit) {
        if (limit_ != 0) {
            value(scene_.process.task.set_limit(8, {limit_ * kPage, limit_ * kPage}));
            value(scene_.process.task.set_user(1000));
        }
        REQUIRE(scene_.join(scene_.soft) == "ok");
        scene_.container->register_device(*this);
    }
    ~Program() override {
        scene_.container->unregister_device(*this);
        scene_.leave(scene_.soft);
        for (iommu::Group* const group : model_.hard) {
            scene_.leave(*group);
        }
        CHECK(scene_.pins() == 0);
        CHECK(scene_.charged() == 0);
    }

    void run(int steps) {
        for (int step = 0; step < steps; ++step) {
            const std::uint64_t what = numbers_.below(8);
            CAPTURE(step);
            CAPTURE(what);
            switch (what) {
                case 0:
                case 1:
                    map();
                    break;
                case 2:
                    unmap();
                    break;
                case 3:
                case 4:
                    pin();
                    break;
                case 5:
                    unpin();
                    break;
                case 6:
                    join();
                    break;
                default:
                    leave();
                    break;
            }
            scene_.process.task.faults().fail_nth(0);
            REQUIRE(scene_.charged() == model_.charged());
            REQUIRE(scene_.pins() == model_.pins());
        }
    }

    /// The drivers unpin all that they have of it.
    void dma_unmap(std::uint64_t iova, std::uint64_t) override {
        for (const auto& [page, count] : model_.mappings.at(iova).drivers) {
            for (int i = 0; i < count; ++i) {
                scene_.container->unpin_pages(page, 1);
            }
        }
        model_.mappings.at(iova).drivers.clear();
    }

    int refused_joins = 0;
    int joins = 0;

  private:
    static constexpr std::uint64_t kSlots = 6;

    std::uint64_t any_slot() { return (1 + numbers_.below(kSlots)) * 16 * k64K; }
    bool sometimes() { return numbers_.below(4) == 0; }
    void maybe_fail() {
        if (sometimes()) {
            scene_.process.task.faults().fail_nth(
                static_cast<std::uint32_t>(1 + numbers_.below(12)));
        }
    }

    void map() {
        const std::uint64_t iova = any_slot();
        const std::uint64_t size = (1 + numbers_.below(3)) * (sometimes() ? 4 * kPage : k64K);
        const bool memory = numbers_.below(6) != 0;
        maybe_fail();
        if (scene_.map(iova, memory ? buffer_ : k64K, size) == "ok") {
            model_.mappings[iova] = {.pages = size / kPage, .memory = memory, .drivers = {}};
        }
    }
    void unmap() {
        if (sometimes()) {
            CHECK(scene_.unmap(0, 0, uapi::VFIO_DMA_UNMAP_FLAG_ALL) == "ok");
            model_.mappings.clear();
            return;
        }
        const auto found = model_.mappings.find(any_slot());
        if (found != model_.mappings.end() &&
            scene_.unmap(found->first, found->second.pages * kPage) == "ok") {
            model_.mappings.erase(found);
        }
    }
    void pin() {
        const std::uint64_t first = any_slot() + numbers_.below(20) * kPage;
        const std::uint64_t pages = 1 + numbers_.below(4);
        if (scene_.pin(first, pages) != "ok") {
            return;
        }
        const auto found = std::prev(model_.mappings.upper_bound(first));
        for (std::uint64_t page = 0; page < pages; ++page) {
            ++found->second.drivers[first + page * kPage];
        }
    }
    void unpin() {
        const std::uint64_t first = any_slot() + numbers_.below(20) * kPage;
        const std::uint64_t pages = 1 + numbers_.below(8);
        scene_.container->unpin_pages(first, pages);
        for (auto& [iova, mapping] : model_.mappings) {
            for (std::uint64_t page = first; page < first + pages * kPage; page += kPage) {
                const auto pinned = mapping.drivers.find(page);
                if (pinned != mapping.drivers.end() && --pinned->second == 0) {
                    mapping.drivers.erase(pinned);
                }
            }
        }
    }
    void join() {
        iommu::Group* const group = sometimes() ? &scene_.coarse : &scene_.fine;
        maybe_fail();
        if (scene_.join(*group) == "ok") {
            ++joins;
            model_.hard.insert(group);
        } else {
            ++refused_joins;
        }
    }
    void leave() {
        if (!model_.hard.empty()) {
            scene_.leave(**model_.hard.begin());
            model_.hard.erase(model_.hard.begin());
        }
    }

    Numbers numbers_;
    const std::uint64_t limit_;
    Type1Scene scene_;
    const std::uint64_t buffer_ = scene_.process.map(k2M);
    Model model_;
};

TEST_CASE("what is charged is what the states of the mappings say, in any program") {
    int joins = 0;
    int refused = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Program program(seed, seed % 3 == 0 ? 70 : 0);
        program.run(120);
        joins += program.joins;
        refused += program.refused_joins;
    }
    CHECK(joins > 100);
    CHECK(refused > 100);
}

TEST_CASE("a group that is refused leaves what drivers have pinned pinned and charged") {
    Type1Scene scene;
    REQUIRE(scene.join(scene.soft) == "ok");
    Quiet driver;
    scene.container->register_device(driver);
    const std::uint64_t buffer = scene.process.map(k64K);
    REQUIRE(scene.map(k64K, buffer, k64K) == "ok");
    REQUIRE(scene.map(4 * k64K, k64K, k64K) == "ok");  // nothing is there
    REQUIRE(scene.pin(k64K, 2) == "ok");
    CHECK(scene.join(scene.fine) == "EFAULT");
    CHECK(scene.charged() == 2);
    CHECK(scene.pins() == 2);
    CHECK(scene.fine.domain()->type() == iommu::DomainType::blocked);
    scene.container->unpin_pages(k64K, 1);
    CHECK(scene.charged() == 1);
    scene.container->unpin_pages(k64K + kPage, 1);
    CHECK(scene.charged() == 0);
    scene.container->unregister_device(driver);
}

TEST_CASE("pages that drivers have pinned already are not charged again, and pass no limit") {
    Type1Scene scene;
    value(scene.process.task.set_limit(8, {16 * kPage, 16 * kPage}));
    value(scene.process.task.set_user(1000));
    REQUIRE(scene.join(scene.soft) == "ok");
    Quiet driver;
    scene.container->register_device(driver);
    REQUIRE(scene.map(k64K, scene.process.map(k64K), k64K) == "ok");
    REQUIRE(scene.pin(k64K, 16) == "ok");
    value(scene.process.task.set_limit(8, {0, 0}));
    CHECK(scene.join(scene.fine) == "ok");
    CHECK(scene.charged() == 16);
    scene.container->unregister_device(driver);
    scene.leave(scene.soft);
    scene.leave(scene.fine);
    CHECK(scene.charged() == 0);
}

TEST_CASE("a new user address moves the whole charge to the caller, or nothing") {
    constexpr std::uint32_t kVaddr = uapi::VFIO_DMA_MAP_FLAG_VADDR;
    Type1Scene scene;
    Process heir(scene.machine);
    const std::uint64_t theirs = heir.map(k64K);
    REQUIRE(scene.join(scene.fine) == "ok");
    REQUIRE(scene.map(k64K, scene.process.map(k64K), k64K) == "ok");
    REQUIRE(scene.unmap(k64K, k64K, uapi::VFIO_DMA_UNMAP_FLAG_VADDR) == "ok");
    value(heir.task.set_limit(8, {15 * kPage, 16 * kPage}));
    value(heir.task.set_user(1000));
    CHECK(scene.map(heir, k64K, theirs, k64K, kVaddr) == "ENOMEM");
    CHECK(scene.charged() == 16);
    CHECK(heir.mm->locked_vm().pages() == 0);
    value(heir.task.set_limit(8, {16 * kPage, 16 * kPage}));
    CHECK(scene.map(heir, k64K, theirs, k64K, kVaddr) == "ok");
    CHECK(scene.charged() == 0);
    CHECK(heir.mm->locked_vm().pages() == 16);
    CHECK(scene.unmap(k64K, k64K) == "ok");
    CHECK(heir.mm->locked_vm().pages() == 0);
}

}  // namespace
}  // namespace kvmiommu::vfio
