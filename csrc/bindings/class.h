// SPDX-License-Identifier: MIT
//
// A class of this extension. Every method that is registered with it is refused in a child of the
// process that created the object, and is a HostCall if the object has a machine. Its arguments are
// converted as arguments.h says, before the call is entered.

#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "bindings/arguments.h"
#include "bindings/host_call.h"
#include "bindings/register.h"

namespace kvmiommu {

namespace detail {

template <class T>
const T& object_behind(const T& self) {
    return self;
}
template <class T>
const T& object_behind(const std::shared_ptr<T>& self) {
    return *self;
}

/// `T` has machine(), a shared Machine, or made(), the ForkGeneration of its creation, or neither.
template <class T, class Call>
auto enter(const T& self, Call&& call) -> decltype(call()) {
    if constexpr (requires { const_cast<T&>(self).machine(); }) {
        HostCall entered(const_cast<T&>(self).machine());
        return entered.run(std::forward<Call>(call));
    } else if constexpr (requires { self.made(); }) {
        if (self.made().inherited()) [[unlikely]] {
            value_or_raise(self.made().check());
        }
        return call();
    } else {
        return call();
    }
}

template <class T>
pybind11::handle python_object(const void* object) {
    return pybind11::detail::get_object_handle(object, pybind11::detail::get_type_info(typeid(T)));
}

/// The names of a method's arguments, which pybind11 is told as py::arg(). They live as long as the
/// module.
template <std::size_t Count, class... Extra>
const char* const* argument_names(const Extra&... extra) {
    constexpr std::size_t kNamed = (std::size_t{std::is_base_of_v<pybind11::arg, Extra>} + ... + 0);
    static_assert(kNamed == Count, "each argument needs its pybind11::arg(name)");
    auto* const names = new const char* [Count + 1] {};
    [[maybe_unused]] std::size_t next = 0;
    [[maybe_unused]] const auto add = [&](const auto& each) {
        if constexpr (std::is_base_of_v<pybind11::arg, std::decay_t<decltype(each)>>) {
            names[next++] = each.name;
        }
    };
    (add(extra), ...);
    return names;
}

template <class T, class Function, class Value, class Of, class... Arguments>
auto entry_as(Function function, const char* const* names, Value (*)(Of, Arguments...)) {
    return [function, names](Of self, PassedAs<Arguments>... passed) -> Value {
        const auto& object = [&]() -> const T& {
            if constexpr (std::is_convertible_v<Of, pybind11::handle>) {
                return self.template cast<T&>();
            } else {
                return object_behind<T>(self);
            }
        }();
        const Self python{&object, &python_object<T>};
        auto arguments = [&]<std::size_t... At>(std::index_sequence<At...>) {
            return std::tuple<decltype(converted<Arguments>(passed, nullptr, python))...>{
                converted<Arguments>(passed, names[At], python)...};
        }(std::index_sequence_for<Arguments...>());
        return enter<T>(object, [&]() -> Value {
            return std::apply(
                [&](auto&&... converted) -> Value {
                    return function(std::forward<Of>(self),
                                    std::forward<decltype(converted)>(converted)...);
                },
                std::move(arguments));
        });
    };
}

template <class Value, class Of, class... Arguments>
constexpr std::size_t count_of(Value (*)(Of, Arguments...)) {
    return sizeof...(Arguments);
}

template <class T, class Function>
struct Signature {
    using Type = pybind11::detail::function_signature_t<Function>;
    static Function callable(Function function) { return function; }
};
template <class T, class Value, class Of, class... Arguments>
struct Signature<T, Value (Of::*)(Arguments...)> {
    using Type = Value(T&, Arguments...);
    static auto callable(Value (Of::*method)(Arguments...)) {
        return [method](T& self, Arguments... arguments) -> Value {
            return (self.*method)(std::forward<Arguments>(arguments)...);
        };
    }
};
template <class T, class Value, class Of, class... Arguments>
struct Signature<T, Value (Of::*)(Arguments...) const> {
    using Type = Value(const T&, Arguments...);
    static auto callable(Value (Of::*method)(Arguments...) const) {
        return [method](const T& self, Arguments... arguments) -> Value {
            return (self.*method)(std::forward<Arguments>(arguments)...);
        };
    }
};

template <class T, class Function, class... Extra>
auto entry(Function function, const Extra&... extra) {
    constexpr auto* kType = static_cast<typename Signature<T, Function>::Type*>(nullptr);
    return entry_as<T>(Signature<T, Function>::callable(function),
                       argument_names<count_of(kType)>(extra...), kType);
}

/// A function that makes an object: it enters the machine that it uses itself.
template <class Function, class Value, class... Arguments>
auto factory_as(Function function, const char* const* names, Value (*)(Arguments...)) {
    return [function, names](PassedAs<Arguments>... passed) -> Value {
        constexpr Self none{nullptr, nullptr};
        auto arguments = [&]<std::size_t... At>(std::index_sequence<At...>) {
            return std::tuple<decltype(converted<Arguments>(passed, nullptr, none))...>{
                converted<Arguments>(passed, names[At], none)...};
        }(std::index_sequence_for<Arguments...>());
        return std::apply(function, std::move(arguments));
    };
}

}  // namespace detail

template <class T, class... Options>
class Class : private pybind11::class_<T, Options...> {
    using Base = pybind11::class_<T, Options...>;

  public:
    using Base::Base;

    template <class Function, class... Extra>
    Class& def(const char* name, Function&& function, const Extra&... extra) {
        Base::def(name, detail::entry<T>(std::decay_t<Function>(function), extra...), extra...);
        return *this;
    }
    /// The constructor: a function that makes an object.
    template <class Value, class... Arguments, class... Extra>
    Class& def_init(Value (*make)(Arguments...), const Extra&... extra) {
        Base::def(pybind11::init(detail::factory_as(
                      make, detail::argument_names<sizeof...(Arguments)>(extra...), make)),
                  extra...);
        return *this;
    }
    /// The constructor of an object that is made of nothing.
    Class& def_init() {
        Base::def(pybind11::init<>());
        return *this;
    }
    template <class Getter, class... Extra>
    Class& def_property_readonly(const char* name, Getter&& getter, const Extra&... extra) {
        Base::def_property_readonly(name, detail::entry<T>(std::decay_t<Getter>(getter)), extra...);
        return *this;
    }
    template <class Getter, class Setter, class... Extra>
    Class& def_property(const char* name, Getter&& getter, Setter&& setter, const Extra&... extra) {
        Base::def_property(name, detail::entry<T>(std::decay_t<Getter>(getter)),
                           detail::entry<T>(std::decay_t<Setter>(setter), pybind11::arg(name)),
                           extra...);
        return *this;
    }
    template <class Member, class... Extra>
    Class& def_readwrite(const char* name, Member T::* member, const Extra&... extra) {
        return def_property(
            name, [member](const T& self) -> Member { return self.*member; },
            [member](T& self, Member value) { self.*member = std::move(value); }, extra...);
    }
};

/// For a class whose objects hold Python objects: `T` has traverse() and clear().
template <class T>
pybind11::custom_type_setup collected() {
    return pybind11::custom_type_setup([](PyHeapTypeObject* heap_type) {
        PyTypeObject* const type = &heap_type->ht_type;
        type->tp_flags |= Py_TPFLAGS_HAVE_GC;
        type->tp_traverse = [](PyObject* self, visitproc visit, void* arg) -> int {
            Py_VISIT(Py_TYPE(self));
            // Not with a cast, which takes a lock of pybind11.
            const auto value =
                reinterpret_cast<pybind11::detail::instance*>(self)->get_value_and_holder();
            if (!value.holder_constructed()) {
                return 0;
            }
            return static_cast<T*>(value.value_ptr())->traverse(visit, arg);
        };
        type->tp_clear = [](PyObject* self) -> int {
            const auto value =
                reinterpret_cast<pybind11::detail::instance*>(self)->get_value_and_holder();
            if (value.holder_constructed()) {
                static_cast<T*>(value.value_ptr())->clear();
            }
            return 0;
        };
    });
}

}  // namespace kvmiommu
