// SPDX-License-Identifier: MIT
//
// The user interfaces as tables: the names of names.def with numbers, sizes and offsets, for
// look-ups at run time. The tables are constants of the program.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "uapi/ioctl.h"

namespace kvmiommu::uapi {

struct ConstantEntry {
    std::string_view name;
    std::uint64_t value;  // in two's complement where negative
    bool negative;
};

struct StringEntry {
    std::string_view name;
    std::string_view value;
};

struct RequestEntry {
    std::string_view name;
    Request request;
};

struct FieldEntry {
    std::string_view structure;
    std::string_view name;  // "inner.member" for a member of an unnamed inner struct
    std::size_t offset;
    std::size_t size;
};

struct StructEntry {
    std::string_view name;
    std::size_t size;
    std::span<const FieldEntry> fields;  // in the order of the struct
};

std::span<const ConstantEntry> uapi_constants();
std::span<const StringEntry> uapi_strings();
std::span<const RequestEntry> uapi_requests();
std::span<const StructEntry> uapi_structs();

}  // namespace kvmiommu::uapi
