// SPDX-License-Identifier: MIT
//
// The tables of layout.h, made from names.def by the compiler.

#include "uapi/layout.h"

#include <array>
#include <type_traits>

#include "uapi/iommufd.h"
#include "uapi/iommufd_test.h"
#include "uapi/kvm.h"
#include "uapi/kvm_2013.h"
#include "uapi/papr.h"
#include "uapi/vfio.h"

namespace kvmiommu::uapi {
namespace {

template <class Integer>
constexpr ConstantEntry constant_entry(std::string_view name, Integer value) {
    bool negative = false;
    if constexpr (std::is_signed_v<Integer>)
        negative = value < 0;
    return {name, static_cast<std::uint64_t>(value), negative};
}

constexpr ConstantEntry constant_table[] = {
#define CONST(name) constant_entry(#name, name),
#include "uapi/names.def"
};

constexpr StringEntry string_table[] = {
#define STRING(name) {#name, name},
#include "uapi/names.def"
};

constexpr RequestEntry request_table[] = {
#define REQUEST(name) {#name, name},
#include "uapi/names.def"
};

constexpr FieldEntry field_table[] = {
#define FIELD(structure, field) \
    {#structure, #field, offsetof(structure, field), sizeof(structure::field)},
#include "uapi/names.def"
};

struct Size {
    std::string_view name;
    std::size_t size;
};

constexpr Size size_table[] = {
#define STRUCT(name) {#name, sizeof(name)},
#include "uapi/names.def"
};

// Gives each struct the run of fields that follows it in names.def.
constexpr auto struct_table = [] {
    std::array<StructEntry, std::size(size_table)> table{};
    std::size_t field = 0;
    for (std::size_t i = 0; i < table.size(); ++i) {
        const std::size_t first = field;
        while (field < std::size(field_table) && field_table[field].structure == size_table[i].name)
            ++field;
        table[i] = {size_table[i].name, size_table[i].size,
                    std::span{field_table}.subspan(first, field - first)};
    }
    return table;
}();

// Every FIELD must follow its STRUCT directly, or it would be missing here.
static_assert([] {
    std::size_t fields = 0;
    for (const StructEntry& entry : struct_table) {
        if (entry.fields.empty())
            return false;
        fields += entry.fields.size();
    }
    return fields == std::size(field_table);
}());

}  // namespace

std::span<const ConstantEntry> uapi_constants() {
    return constant_table;
}
std::span<const StringEntry> uapi_strings() {
    return string_table;
}
std::span<const RequestEntry> uapi_requests() {
    return request_table;
}
std::span<const StructEntry> uapi_structs() {
    return struct_table;
}

}  // namespace kvmiommu::uapi
