// SPDX-License-Identifier: MIT

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace kvmiommu {
namespace {

constexpr Source kSource{"fs/open.c: do_open"};

Result<int> half(int number) {
    if (number % 2 != 0) {
        return refuse(EINVAL, "{} is odd", kSource, number);
    }
    return number / 2;
}

Result<int> quarter(int number) {
    const int once = TRY(half(number));
    return half(once);
}

Result<int> quarter_in_one(int number) {
    return TRY(half(TRY(half(number))));
}

Result<> must_be_even(int number) {
    TRY(half(number));
    return {};
}

Result<std::unique_ptr<int>> boxed(int number) {
    return std::make_unique<int>(TRY(half(number)));
}

Result<int> unboxed(int number) {
    const std::unique_ptr<int> box = TRY(boxed(number));
    return *box;
}

TEST_CASE("a refusal names its errno, its reason and its source") {
    const Refusal refusal = refuse(EINVAL, "a struct of no bytes", kSource).error();
    CHECK(refusal.error() == EINVAL);
    CHECK(refusal.reason() == "a struct of no bytes");
    CHECK(std::string(refusal.source()) == "fs/open.c: do_open");
    CHECK(refusal.text() == "EINVAL: a struct of no bytes (fs/open.c: do_open)");
}

TEST_CASE("numbers stand in a reason in decimal and in hexadecimal, in order") {
    CHECK(refuse(EPERM, "{}, {:x}, {} and {:x}", kSource, 10, 10, 0, 0).error().reason() ==
          "10, 0xa, 0 and 0x0");
    CHECK(refuse(EPERM, "{:x}", kSource, 0x1234567890abcdef).error().reason() ==
          "0x1234567890abcdef");
    CHECK(refuse(EPERM, "{}", kSource, ~std::uint64_t{0}).error().reason() ==
          "18446744073709551615");
}

TEST_CASE("a negative number stands in a reason as the kernel would pass it on") {
    CHECK(refuse(EBADF, "{:x}", kSource, -1).error().reason() == "0xffffffffffffffff");
    CHECK(refuse(EBADF, "{:d}", kSource, -1).error().reason() == "-1");
    CHECK(refuse(EACCES, "{:o} {:mode} {:mode}", kSource, 0600, 0, 2).error().reason() ==
          "0600 r rw");
    CHECK(refuse(EFAULT, "{:access} {:access}", kSource, 0, 1).error().reason() == "read write");
}

TEST_CASE("an errno has the name that user space knows") {
    CHECK(errno_name(EINVAL) == "EINVAL");
    CHECK(errno_name(E2BIG) == "E2BIG");
    CHECK(errno_name(EAGAIN) == "EAGAIN");
    CHECK(errno_name(EOPNOTSUPP) == "EOPNOTSUPP");
    CHECK(errno_name(EBADFD) == "EBADFD");
    CHECK(errno_name(524) == "E524");  // ENOTSUPP, which user space should never see
    CHECK(errno_name(12345) == "E12345");
}

TEST_CASE("TRY gives the value or leaves with the refusal as it was") {
    CHECK(quarter(8).value() == 2);
    CHECK(quarter(3).error().reason() == "3 is odd");
    CHECK(quarter(6).error().reason() == "3 is odd");
    CHECK(quarter(6).error().source() == kSource.text);
}

TEST_CASE("TRY may stand within TRY") {
    CHECK(quarter_in_one(12).value() == 3);
    CHECK(quarter_in_one(10).error().reason() == "5 is odd");
}

TEST_CASE("TRY takes a call that answers nothing, and one whose answer can only be moved") {
    CHECK(must_be_even(2).has_value());
    CHECK(must_be_even(1).error().error() == EINVAL);
    CHECK(unboxed(6).value() == 3);
    CHECK(unboxed(7).error().error() == EINVAL);
}

}  // namespace
}  // namespace kvmiommu
