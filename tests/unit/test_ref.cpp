// SPDX-License-Identifier: MIT

#include "base/ref.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

namespace kvmiommu {
namespace {

class Thing : public RefCounted {
  public:
    Thing(Census& census, const char* kind, int* gone = nullptr)
        : RefCounted(census, kind), gone_(gone) {}
    ~Thing() override {
        if (gone_ != nullptr) {
            ++*gone_;
        }
    }

  private:
    int* gone_;
};

class Special final : public Thing {
  public:
    using Thing::Thing;
};

TEST_CASE("an object goes with its last reference, once") {
    Census census;
    int gone = 0;
    Ref<Thing> first = make<Thing>(census, "thing", &gone);
    CHECK(first->references() == 1);
    Ref<Thing> second = first;
    CHECK(first->references() == 2);
    first.reset();
    CHECK(gone == 0);
    CHECK(second->references() == 1);
    second = nullptr;
    CHECK(gone == 1);
    CHECK(census.alive() == 0);
}

TEST_CASE("a move passes the reference on and counts nothing") {
    Census census;
    Ref<Thing> first = make<Thing>(census, "thing");
    Ref<Thing> second = std::move(first);
    CHECK(second->references() == 1);
    CHECK_FALSE(bool(first));
    Ref<Thing> third("a place");
    third = std::move(second);
    CHECK(third->references() == 1);
}

TEST_CASE("assignment lets go of what was held before") {
    Census census;
    int gone = 0;
    Ref<Thing> place = make<Thing>(census, "one", &gone);
    place = make<Thing>(census, "two", &gone);
    CHECK(gone == 1);
    CHECK(std::string(place->kind()) == "two");
}

TEST_CASE("assigning a reference to itself changes nothing") {
    Census census;
    int gone = 0;
    Ref<Thing> place = make<Thing>(census, "thing", &gone);
    Ref<Thing>& same = place;
    place = same;
    CHECK(gone == 0);
    CHECK(place->references() == 1);
    place = std::move(same);
    CHECK(gone == 0);
    CHECK(place->references() == 1);
}

TEST_CASE("a reference to a kind of thing is a reference to a thing") {
    Census census;
    const Ref<Special> special = make<Special>(census, "special");
    const Ref<Thing> copy = special;
    CHECK(copy->references() == 2);
    CHECK(copy == special);
    Ref<Thing> moved = Ref<Special>(special);
    CHECK(moved->references() == 3);
}

TEST_CASE("an object that lives can be referenced anew") {
    Census census;
    const Ref<Thing> place = make<Thing>(census, "thing");
    const Ref<Thing> other = Ref<Thing>::unless_dying(*place);
    CHECK(bool(other));
    CHECK(place->references() == 2);
    CHECK(Ref<Thing>(*place) == other);
}

// In its destructor an object is found by those who keep a list of all.
class Dying final : public RefCounted {
  public:
    Dying(Census& census, bool* found) : RefCounted(census, "dying"), found_(found) {}
    ~Dying() override { *found_ = bool(Ref<Dying>::unless_dying(*this)); }

  private:
    bool* found_;
};

TEST_CASE("an object whose last reference is gone cannot be referenced anew") {
    Census census;
    bool found = true;
    make<Dying>(census, &found).reset();
    CHECK_FALSE(found);
}

TEST_CASE("the census lists the living in the order of their making") {
    Census census;
    Ref<Thing> one = make<Thing>(census, "one");
    Ref<Thing> two = make<Thing>(census, "two");
    Ref<Thing> three = make<Thing>(census, "three");
    const auto begins = [&](std::size_t line, const std::string& text) {
        return census.report().at(line).starts_with(text);
    };
    CHECK(census.alive() == 3);
    CHECK(begins(0, "one, references: 1"));
    CHECK(begins(2, "three, references: 1"));
    two.reset();
    CHECK(census.alive() == 2);
    CHECK(begins(1, "three, references: 1"));
    one.reset();
    CHECK(begins(0, "three, references: 1"));
    two = make<Thing>(census, "two again");
    CHECK(begins(1, "two again, references: 1"));
    three.reset();
    two.reset();
    CHECK(census.report().empty());
}

TEST_CASE("the census leaves out what is expected") {
    Census census;
    const Ref<Thing> one = make<Thing>(census, "one");
    const Ref<Thing> two = make<Thing>(census, "two");
    const auto lines =
        census.report([](const RefCounted& object) { return std::string(object.kind()) == "one"; });
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("two"));
    CHECK(census.alive() == 2);
}

TEST_CASE("two censuses know nothing of each other") {
    Census one;
    Census two;
    const Ref<Thing> thing = make<Thing>(one, "thing");
    CHECK(one.alive() == 1);
    CHECK(two.alive() == 0);
}

TEST_CASE("references are counted from many threads") {
    Census census;
    int gone = 0;
    Ref<Thing> place = make<Thing>(census, "thing", &gone);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&census, mine = place] {
            for (int round = 0; round < 500; ++round) {
                const Ref<Thing> copy = mine;
                const Ref<Thing> again = Ref<Thing>::unless_dying(*copy);
                const Ref<Thing> own = make<Thing>(census, "own");
            }
        });
    }
    place.reset();
    for (std::thread& thread : threads) {
        thread.join();
    }
    threads.clear();
    CHECK(gone == 1);
    CHECK(census.alive() == 0);
}

#if KVMIOMMU_NAMED_REFERENCES
TEST_CASE("an object knows the names of its holders") {
    Census census;
    Ref<Thing> group("vfio_group.container");
    group = make<Thing>(census, "container");
    CHECK(census.report() ==
          std::vector<std::string>{"container, references: 1, held by vfio_group.container"});
    {
        const Ref<Thing> call = group;
        CHECK(census.report() ==
              std::vector<std::string>{
                  "container, references: 2, held by vfio_group.container, a call"});
    }
    Ref<Thing> file("a descriptor");
    file = std::move(group);
    CHECK(census.report() ==
          std::vector<std::string>{"container, references: 1, held by a descriptor"});
    group = file;
    file.reset();
    CHECK(census.report() ==
          std::vector<std::string>{"container, references: 1, held by vfio_group.container"});
}

TEST_CASE("a place keeps its name when the container around it grows") {
    Census census;
    std::vector<Ref<Thing>> places;
    for (int i = 0; i < 20; ++i) {
        places.emplace_back("a list");
        places.back() = make<Thing>(census, "thing");
    }
    for (const std::string& line : census.report()) {
        CHECK(line == "thing, references: 1, held by a list");
    }
}
#else
TEST_CASE("an object keeps no names unless it is built to") {
    Census census;
    const Ref<Thing> thing = make<Thing>(census, "thing");
    CHECK(census.report() == std::vector<std::string>{"thing, references: 1"});
}
#endif

}  // namespace
}  // namespace kvmiommu
