// SPDX-License-Identifier: MIT
//
// Arguments of the methods of this extension that are checked by hand, so that a wrong one is
// refused with its name, its value and what it may be: integers, sequences of them, texts, timeouts
// and descriptors. class.h converts every argument of these types; no method does.

#pragma once

#include <pybind11/pybind11.h>

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace kvmiommu {

/// The number of a descriptor of the process whose method is called. Python may pass an int or a
/// kvmiommu Descriptor of the same process.
struct Fd {
    int number;
    operator int() const { return number; }
};

/// The path of a file: str, bytes or os.PathLike.
struct Path {
    std::string text;
};

/// What an argument is called in a message: "fd", or an item of a sequence, "bars[2]".
class ArgumentName {
  public:
    explicit ArgumentName(const char* name) : name_(name) {}
    ArgumentName(const ArgumentName& of, std::size_t item) : of_(&of), item_(item) {}
    std::string text() const;

  private:
    const char* name_ = nullptr;
    const ArgumentName* of_ = nullptr;
    std::size_t item_ = 0;
};

/// An integer of any kind: int, bool, or another object with __index__().
/// TypeError not an integer, such as a float
/// OverflowError not from `low` to `high`
std::int64_t signed_integer(pybind11::handle value, const ArgumentName& name, std::int64_t low,
                            std::int64_t high);
std::uint64_t unsigned_integer(pybind11::handle value, const ArgumentName& name,
                               std::uint64_t high);
/// 64 bits that may be a signed or an unsigned number, as of an argument of C's type long.
std::uint64_t pattern(pybind11::handle value, const ArgumentName& name);
/// TypeError not a number
double floating_point(pybind11::handle value, const ArgumentName& name);
/// TypeError not a str
std::string text_of(pybind11::handle value, const ArgumentName& name);
/// TypeError not a path
/// ValueError a zero byte in it
std::string path_of(pybind11::handle value, const ArgumentName& name);
/// The items of a list, a tuple or another iterable.
/// TypeError not iterable
pybind11::object sequence_of(pybind11::handle value, const ArgumentName& name);
/// The object whose method is called, and how its Python object is found where that is needed.
struct Self {
    const void* object;
    pybind11::handle (*find)(const void* object);
};
/// As signed_integer(), and
/// ValueError a descriptor of another process, or one that is closed
int descriptor(pybind11::handle value, const ArgumentName& name, const Self& self);

namespace detail {

/// How an argument of type `T` is converted; arguments of other types pybind11 converts.
template <class T>
struct Argument {
    static constexpr bool kByHand = false;
};

template <class T>
    requires(std::integral<T> && !std::same_as<T, bool>)
struct Argument<T> {
    static constexpr bool kByHand = true;
    static T of(pybind11::handle value, const ArgumentName& name) {
        if constexpr (std::is_signed_v<T>) {
            return static_cast<T>(signed_integer(value, name, std::numeric_limits<T>::min(),
                                                 std::numeric_limits<T>::max()));
        } else {
            return static_cast<T>(unsigned_integer(value, name, std::numeric_limits<T>::max()));
        }
    }
};

template <>
struct Argument<double> {
    static constexpr bool kByHand = true;
    static double of(pybind11::handle value, const ArgumentName& name) {
        return floating_point(value, name);
    }
};

template <>
struct Argument<std::string> {
    static constexpr bool kByHand = true;
    static std::string of(pybind11::handle value, const ArgumentName& name) {
        return text_of(value, name);
    }
};

template <>
struct Argument<Path> {
    static constexpr bool kByHand = true;
    static Path of(pybind11::handle value, const ArgumentName& name) {
        return {path_of(value, name)};
    }
};

template <>
struct Argument<Fd> {
    static constexpr bool kByHand = true;
    static Fd of(pybind11::handle value, const ArgumentName& name, const Self& self) {
        return {descriptor(value, name, self)};
    }
};

template <class T>
struct Argument<std::optional<T>> {
    static constexpr bool kByHand = Argument<T>::kByHand;
    static std::optional<T> of(pybind11::handle value, const ArgumentName& name) {
        if (value.is_none()) {
            return std::nullopt;
        }
        return Argument<T>::of(value, name);
    }
};

template <class T>
struct Argument<std::vector<T>> {
    static constexpr bool kByHand = Argument<T>::kByHand;
    static std::vector<T> of(pybind11::handle value, const ArgumentName& name) {
        const pybind11::object items = sequence_of(value, name);
        std::vector<T> converted;
        // The list may become shorter while an item is converted.
        for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(items.ptr()); ++at) {
            const auto item = pybind11::reinterpret_borrow<pybind11::object>(
                PySequence_Fast_GET_ITEM(items.ptr(), at));
            converted.push_back(
                Argument<T>::of(item, ArgumentName(name, static_cast<std::size_t>(at))));
        }
        return converted;
    }
};

template <class First, class Second>
struct Argument<std::pair<First, Second>> {
    static constexpr bool kByHand = Argument<First>::kByHand && Argument<Second>::kByHand;
    static std::pair<First, Second> of(pybind11::handle value, const ArgumentName& name) {
        const pybind11::object items = sequence_of(value, name);
        if (PySequence_Fast_GET_SIZE(items.ptr()) != 2) {
            throw pybind11::value_error(name.text() + " must be a pair");
        }
        const auto item = [&](Py_ssize_t at) {
            return pybind11::reinterpret_borrow<pybind11::object>(
                PySequence_Fast_GET_ITEM(items.ptr(), at));
        };
        const pybind11::object first = item(0);
        const pybind11::object second = item(1);
        return {Argument<First>::of(first, ArgumentName(name, 0)),
                Argument<Second>::of(second, ArgumentName(name, 1))};
    }
};

/// What pybind11 passes on of an argument that is converted by hand.
struct Passed {
    pybind11::handle object;
};

template <class T>
inline constexpr bool kByHand = Argument<std::decay_t<T>>::kByHand;
template <class T>
using PassedAs = std::conditional_t<kByHand<T>, Passed, T>;

template <class T>
decltype(auto) converted(PassedAs<T>& passed, const char* name, [[maybe_unused]] const Self& self) {
    using Plain = std::decay_t<T>;
    if constexpr (std::is_same_v<Plain, Fd>) {
        return Argument<Plain>::of(passed.object, ArgumentName(name), self);
    } else if constexpr (kByHand<T>) {
        return Argument<Plain>::of(passed.object, ArgumentName(name));
    } else {
        return std::forward<T>(passed);
    }
}

}  // namespace detail

}  // namespace kvmiommu

namespace pybind11::detail {

template <>
struct type_caster<kvmiommu::detail::Passed> {
    PYBIND11_TYPE_CASTER(kvmiommu::detail::Passed, const_name("object"));
    bool load(handle object, bool) {
        value.object = object;
        return true;
    }
};

}  // namespace pybind11::detail
