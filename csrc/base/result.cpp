// SPDX-License-Identifier: MIT

#include "base/result.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>

namespace kvmiommu {

std::string errno_name(int error) {
    switch (error) {
#define ERRNO(name) \
    case name:      \
        return #name;
#include "base/errno_names.def"
#undef ERRNO
        default:
            return "E" + std::to_string(error);
    }
}

namespace {

std::string hexadecimal(std::uint64_t number) {
    char digits[2 * sizeof number];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), number, 16).ptr;
    return "0x" + std::string(std::begin(digits), end);
}

}  // namespace

std::string Refusal::reason() const {
    std::string text;
    std::size_t next = 0;
    for (const char* at = reason_; *at != '\0'; ++at) {
        if (*at != '{') {
            text += *at;
            continue;
        }
        const bool hex = std::strncmp(at, "{:x}", 4) == 0;
        text += hex ? hexadecimal(numbers_[next]) : std::to_string(numbers_[next]);
        ++next;
        at = std::strchr(at, '}');
    }
    return text;
}

std::string Refusal::text() const {
    return errno_name(error_) + ": " + reason() + " (" + source_ + ")";
}

}  // namespace kvmiommu
