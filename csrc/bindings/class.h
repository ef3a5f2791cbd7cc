// SPDX-License-Identifier: MIT
//
// A class of this extension. Every method that is registered with it is refused in a child of the
// process that created the object, and is a HostCall if the object has a machine.

#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <type_traits>
#include <utility>

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

/// `T` has machine(), a shared Machine, or made(), the ForkGeneration of its creation.
template <class T, class Call>
auto enter(const T& self, Call&& call) -> decltype(call()) {
    if constexpr (requires { const_cast<T&>(self).machine(); }) {
        HostCall entered(const_cast<T&>(self).machine());
        return entered.run(std::forward<Call>(call));
    } else {
        if (self.made().inherited()) [[unlikely]] {
            value_or_raise(self.made().check());
        }
        return call();
    }
}

template <class T, class Function, class Value, class Self, class... Arguments>
auto entry_as(Function function, Value (*)(Self, Arguments...)) {
    return [function](Self self, Arguments... arguments) -> Value {
        const auto call = [&]() -> Value {
            return function(std::forward<Self>(self), std::forward<Arguments>(arguments)...);
        };
        if constexpr (std::is_convertible_v<Self, pybind11::handle>) {
            return enter<T>(self.template cast<T&>(), call);
        } else {
            return enter<T>(object_behind<T>(self), call);
        }
    };
}

template <class T, class Function>
auto entry(Function function) {
    using Signature = pybind11::detail::function_signature_t<Function>;
    return entry_as<T>(function, static_cast<Signature*>(nullptr));
}
template <class T, class Value, class Of, class... Arguments>
auto entry(Value (Of::*method)(Arguments...)) {
    return entry_as<T>(
        [method](T& self, Arguments... arguments) -> Value {
            return (self.*method)(std::forward<Arguments>(arguments)...);
        },
        static_cast<Value (*)(T&, Arguments...)>(nullptr));
}
template <class T, class Value, class Of, class... Arguments>
auto entry(Value (Of::*method)(Arguments...) const) {
    return entry_as<T>(
        [method](const T& self, Arguments... arguments) -> Value {
            return (self.*method)(std::forward<Arguments>(arguments)...);
        },
        static_cast<Value (*)(const T&, Arguments...)>(nullptr));
}

}  // namespace detail

template <class T, class... Options>
class Class : private pybind11::class_<T, Options...> {
    using Base = pybind11::class_<T, Options...>;

  public:
    using Base::Base;

    template <class Function, class... Extra>
    Class& def(const char* name, Function&& function, const Extra&... extra) {
        Base::def(name, detail::entry<T>(std::decay_t<Function>(function)), extra...);
        return *this;
    }
    /// Constructors are not wrapped: they enter the machine that they use themselves.
    template <class... Arguments, class... Extra>
    Class& def(pybind11::detail::initimpl::constructor<Arguments...>&& init,
               const Extra&... extra) {
        Base::def(std::move(init), extra...);
        return *this;
    }
    template <class... Arguments, class... Extra>
    Class& def(pybind11::detail::initimpl::factory<Arguments...>&& init, const Extra&... extra) {
        Base::def(std::move(init), extra...);
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
                           detail::entry<T>(std::decay_t<Setter>(setter)), extra...);
        return *this;
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
