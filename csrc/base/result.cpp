// SPDX-License-Identifier: MIT

#include "base/result.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>
#include <string_view>

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

std::string in_base(std::uint64_t number, int base) {
    char digits[8 * sizeof number];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), number, base).ptr;
    return std::string(std::begin(digits), end);
}

// One number as `kind`, what stands between the braces, has it.
std::string shown(std::string_view kind, std::uint64_t number) {
    if (kind == ":x") {
        return "0x" + in_base(number, 16);
    }
    if (kind == ":o") {
        return "0" + in_base(number, 8);
    }
    if (kind == ":access") {
        return number == 0 ? "read" : "write";
    }
    if (kind == ":mode") {
        // O_RDONLY, O_WRONLY, O_RDWR, and 3: for ioctls alone.
        return std::array{"r", "w", "rw", "neither r nor w"}[number & 3];
    }
    if (kind == ":d") {
        return std::to_string(static_cast<std::int64_t>(number));
    }
    return std::to_string(number);
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
        const char* const end = std::strchr(at, '}');
        text += shown({at + 1, end}, numbers_[next++]);
        at = end;
    }
    return text;
}

std::string Refusal::text() const {
    return errno_name(error_) + ": " + reason() + " (" + source_ + ")";
}

}  // namespace kvmiommu
