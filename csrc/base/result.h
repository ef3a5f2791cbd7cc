// SPDX-License-Identifier: MIT
//
// Errors as values. Beside the errno of the real kernel a Refusal has the check that failed, with
// its numbers, and the source of the rule. Creating one stores a few words; the text is formatted
// on demand.

#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <type_traits>
#include <utility>

namespace kvmiommu {

/// The source of a rule: "drivers/vfio/group.c: vfio_group_fops_open".
struct Source {
    const char* text;
};

/// The text of a refusal: each {} is replaced by a number in decimal, each {:d} by a signed one,
/// {:x} in hexadecimal, {:o} in octal. {:access} is read for 0, else write; {:mode} what the
/// O_ACCMODE of an open says: r, w, rw. That there is one number for each is checked at compile
/// time.
template <std::size_t Numbers>
struct ReasonText {
    const char* text;

    template <std::size_t Length>
    consteval ReasonText(const char (&literal)[Length]) : text(literal) {
        std::size_t found = 0;
        for (std::size_t at = 0; at + 1 < Length; ++at) {
            found += literal[at] == '{';
        }
        if (found != Numbers) {
            throw "a refusal needs one number for each {} of its text";
        }
    }
};

/// The refusal of a call: a positive errno, the reason and the source of the rule.
class Refusal {
  public:
    static constexpr std::size_t kMostNumbers = 4;

    template <std::size_t Numbers>
    Refusal(int error, ReasonText<Numbers> reason, Source source,
            const std::array<std::uint64_t, Numbers>& numbers)
        : error_(error), reason_(reason.text), source_(source.text) {
        static_assert(Numbers <= kMostNumbers);
        for (std::size_t i = 0; i < Numbers; ++i) {
            numbers_[i] = numbers[i];
        }
    }

    /// The errno, a positive number.
    int error() const { return error_; }
    /// The same reason under another errno, for a caller that returns one of its own.
    Refusal under(int error) const {
        Refusal other = *this;
        other.error_ = error;
        return other;
    }
    /// The reason with its numbers filled in.
    std::string reason() const;
    /// The source of the rule.
    const char* source() const { return source_; }
    /// "EINVAL: reason (source)".
    std::string text() const;

  private:
    int error_;
    const char* reason_;
    const char* source_;
    std::array<std::uint64_t, kMostNumbers> numbers_;
};

/// "EINVAL" for EINVAL, "E12345" for a number without a name.
std::string errno_name(int error);

template <class Value = void>
using Result = std::expected<Value, Refusal>;

namespace detail {
template <class Number>
constexpr std::uint64_t reason_number(Number number) {
    return static_cast<std::uint64_t>(number);
}
}  // namespace detail

/// Refuses a call: `return refuse(EINVAL, "size {:x} is zero", kSource, size);`
template <class... Numbers>
[[nodiscard, gnu::cold]] std::unexpected<Refusal> refuse(
    int error, std::type_identity_t<ReasonText<sizeof...(Numbers)>> reason, Source source,
    Numbers... numbers) {
    return std::unexpected(
        Refusal(error, reason, source,
                std::array<std::uint64_t, sizeof...(Numbers)>{detail::reason_number(numbers)...}));
}

/// The value of a Result; returns its refusal from the enclosing function.
#define TRY(expression) KVMIOMMU_TRY(expression, __COUNTER__)
// Each use has its own name, so that uses can be nested.
#define KVMIOMMU_TRY(expression, number) KVMIOMMU_TRY_NUMBER(expression, number)
#define KVMIOMMU_TRY_NUMBER(expression, number) KVMIOMMU_TRY_AS(expression, tried_##number)
#define KVMIOMMU_TRY_AS(expression, tried)                    \
    ({                                                        \
        auto&& tried = (expression);                          \
        if (!tried) [[unlikely]] {                            \
            return std::unexpected(std::move(tried).error()); \
        }                                                     \
        *std::move(tried);                                    \
    })

}  // namespace kvmiommu
