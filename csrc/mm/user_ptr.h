// SPDX-License-Identifier: MIT
//
// A user's pointer (__user): never dereferenced, only copied through (include/linux/uaccess.h).

#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "mm/address_space.h"

namespace kvmiommu::mm {

template <class T>
class UserPtr {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    UserPtr() = default;
    explicit UserPtr(std::uint64_t address) : address_(address) {}

    std::uint64_t address() const { return address_; }
    /// A pointer `bytes` further on, to another type.
    template <class Other = T>
    UserPtr<Other> offset(std::uint64_t bytes) const {
        return UserPtr<Other>(address_ + bytes);
    }
    /// The element `index` of an array.
    UserPtr operator[](std::uint64_t index) const { return UserPtr(address_ + index * sizeof(T)); }

    /// copy_from_user(), copy_to_user().
    /// EFAULT a byte cannot be accessed
    Result<T> read(AddressSpace& mm) const {
        T value;
        TRY(mm.copy_from_user(&value, address_, sizeof value));
        return value;
    }
    Result<> write(AddressSpace& mm, const T& value) const {
        return mm.copy_to_user(address_, &value, sizeof value);
    }

  private:
    std::uint64_t address_ = 0;
};

}  // namespace kvmiommu::mm
