// SPDX-License-Identifier: MIT
//
// What user space says to a driver in a structure of the driver's own, by way of iommufd
// (include/linux/iommu.h: iommu_user_data, iommu_user_data_array). Its bytes have been copied in.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/base.h"

namespace kvmiommu::iommu {

/// One structure of a type (IOMMU_HWPT_DATA_*).
struct UserData {
    std::uint32_t type;
    std::span<const std::byte> bytes;

    /// The structure, zero behind what user space gave; `least` bytes of it are a must.
    /// (iommu_copy_struct_from_user)
    /// EINVAL another type than `wanted`
    /// EINVAL fewer bytes than `least`, or more than the structure has
    template <class Struct>
    Result<Struct> copy(std::uint32_t wanted, std::size_t least) const {
        static_assert(std::is_trivially_copyable_v<Struct>);
        if (type != wanted || bytes.size() < least || sizeof(Struct) < bytes.size()) {
            return refuse(EINVAL, "{} bytes of type {:x}, not {} or more of type {:x}",
                          Source{"include/linux/iommu.h: __iommu_copy_struct_from_user"},
                          bytes.size(), type, least, wanted);
        }
        Struct copied{};
        if (!bytes.empty()) {
            std::memcpy(&copied, bytes.data(), bytes.size());
        }
        return copied;
    }
};

/// Structures of a type (IOMMU_HWPT_INVALIDATE_DATA_*), `entry_len` bytes apart.
struct UserDataArray {
    std::uint32_t type;
    std::size_t entry_len;
    std::uint32_t entry_num;
    std::span<const std::byte> bytes;

    /// One of them, as UserData::copy(). (iommu_copy_struct_from_user_array)
    /// EINVAL the array has no entries
    /// EINVAL the entry is not within the bytes
    /// or as UserData::copy()
    template <class Struct>
    Result<Struct> copy(std::uint32_t wanted, std::uint32_t index, std::size_t least) const {
        const std::size_t whole = entry_len == 0 ? 0 : bytes.size() / entry_len;
        if (index >= entry_num || index >= whole) {
            return refuse(EINVAL, "entry {} of {}, of which there are {}",
                          Source{"include/linux/iommu.h: __iommu_copy_struct_from_user_array"},
                          index, entry_num, whole);
        }
        return UserData{type, bytes.subspan(index * entry_len, entry_len)}.template copy<Struct>(
            wanted, least);
    }
};

}  // namespace kvmiommu::iommu
