// SPDX-License-Identifier: MIT

#include "base/undo.h"

#include <string>

#include "support.h"

namespace kvmiommu {
namespace {

using test::outcome;

constexpr Source kSource{"test"};

Result<> steps(std::string& log, bool fails) {
    log += "a";
    Undo first([&] { log += "A"; });
    log += "b";
    Undo second([&] { log += "B"; });
    if (fails) {
        return refuse(EINVAL, "told to", kSource);
    }
    first.dismiss();
    second.dismiss();
    return {};
}

TEST_CASE("steps that succeed are kept") {
    std::string log;
    CHECK(outcome(steps(log, false)) == "ok");
    CHECK(log == "ab");
}

TEST_CASE("what is refused is undone from the last step to the first") {
    std::string log;
    CHECK(outcome(steps(log, true)) == "EINVAL");
    CHECK(log == "abBA");
}

}  // namespace
}  // namespace kvmiommu
