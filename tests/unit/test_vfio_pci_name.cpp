// SPDX-License-Identifier: MIT
//
// The names that VFIO_GROUP_GET_DEVICE_FD takes for a PCI device.

#include <string>

#include "support.h"
#include "vfio/pci/pci_name.h"

namespace kvmiommu::vfio {
namespace {

using test::outcome;

// "match", "no match", or the errno.
std::string asked(std::string_view name) {
    const auto matched = match_pci_name("0000:00:02.0", name);
    return !matched ? outcome(matched) : *matched ? "match" : "no match";
}

constexpr const char* kUuid = "00112233-4455-6677-8899-aabbccddeeFF";

TEST_CASE("a PCI device is asked for by its address, behind which come blanks and options") {
    CHECK(asked("0000:00:02.0") == "match");
    CHECK(asked("0000:00:02.0 ") == "match");
    CHECK(asked("0000:00:02.0   ") == "match");
    CHECK(asked("") == "no match");
    CHECK(asked("0000:00:02.") == "no match");
    CHECK(asked(" 0000:00:02.0") == "no match");
    CHECK(asked("0000:00:02.00") == "no match");
    CHECK(asked("0000:00:02.0,vf_token=abc") == "no match");
    CHECK(asked("0000:00:02.0\tvf_token=abc") == "no match");
    CHECK(asked("0000:00:02.0 x=1") == "EINVAL");
    CHECK(asked("0000:00:02.0 \t") == "EINVAL");
    CHECK(asked("0000:00:02.0 vf_token") == "EINVAL");
}

TEST_CASE("of the reasons to refuse a token, the first that is met counts") {
    const std::string named = "0000:00:02.0 vf_token=";
    const auto reason = [](const std::string& name) {
        const auto matched = match_pci_name("0000:00:02.0", name);
        REQUIRE(outcome(matched) == "EINVAL");
        return matched.error().reason();
    };
    CHECK(reason(named) == "the token is not a UUID");
    CHECK(reason(named + "abc") == "the token is not a UUID");
    CHECK(reason(named + "00112233-4455-6677-8899-aabbccddeef") == "the token is not a UUID");
    CHECK(reason(named + "00112233-4455-6677-8899_aabbccddeeff") == "the token is not a UUID");
    CHECK(reason(named + "g0112233-4455-6677-8899-aabbccddeeff") == "the token is not a UUID");
    const char* const none = "a token for a function that is no part of SR-IOV";
    CHECK(reason(named + kUuid) == none);
    CHECK(reason(named + kUuid + "  ") == none);
    const char* const twice = "after the device's address comes what is no option, or one twice";
    CHECK(reason(named + kUuid + "0") == twice);
    CHECK(reason(named + kUuid + " vf_token=" + kUuid) == twice);
    CHECK(reason(named + kUuid + " x=1") == twice);
}

}  // namespace
}  // namespace kvmiommu::vfio
