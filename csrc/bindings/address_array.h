// SPDX-License-Identifier: MIT
//
// Arrays of 64-bit numbers from Python, through the buffer protocol: array.array("Q"),
// numpy.uint64, a memoryview of either.

#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace kvmiommu {

class AddressArray {
  public:
    enum class Use { read, write };

    /// The GIL is held. The array cannot be resized while the object exists.
    /// TypeError not a contiguous array of unsigned 64-bit numbers
    /// TypeError a read-only array, for writing
    AddressArray(pybind11::handle object, const char* name, Use use = Use::read) {
        const int flags =
            PyBUF_FORMAT | PyBUF_ND | PyBUF_C_CONTIGUOUS | (use == Use::write ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) {
            PyErr_Clear();
            refuse(object, name, use, "has none that fits");
        }
        const std::string format = view_.format == nullptr ? "B" : view_.format;
        const bool unsigned_64 =
            view_.itemsize == 8 && (format == "Q" || format == "L" || format == "=Q" ||
                                    format == "<Q" || format == "@Q" || format == "@L");
        if (view_.ndim != 1 || !unsigned_64) {
            const std::string found =
                "has " + std::to_string(view_.ndim) + " dimensions of \"" + format + "\"";
            PyBuffer_Release(&view_);
            refuse(object, name, use, found);
        }
    }
    // Destroyed with the GIL held.
    ~AddressArray() { PyBuffer_Release(&view_); }
    AddressArray(const AddressArray&) = delete;
    AddressArray& operator=(const AddressArray&) = delete;

    std::size_t size() const { return static_cast<std::size_t>(view_.len) / 8; }
    // With memcpy(), because a memoryview may be unaligned.
    std::uint64_t operator[](std::size_t at) const {
        std::uint64_t value;
        std::memcpy(&value, static_cast<const char*>(view_.buf) + at * 8, 8);
        return value;
    }
    /// A copy of all numbers, because another thread may change the array.
    std::vector<std::uint64_t> copy() const {
        std::vector<std::uint64_t> numbers(size());
        if (!numbers.empty()) {  // the address of an empty array may be null
            std::memcpy(numbers.data(), view_.buf, 8 * numbers.size());
        }
        return numbers;
    }
    void set(std::size_t at, std::uint64_t value) {
        std::memcpy(static_cast<char*>(view_.buf) + at * 8, &value, 8);
    }

  private:
    [[noreturn]] static void refuse(pybind11::handle object, const char* name, Use use,
                                    const std::string& found) {
        const std::string type = pybind11::str(pybind11::type::handle_of(object).attr("__name__"));
        throw pybind11::type_error(
            std::string(name) + ": a " + (use == Use::write ? "writeable " : "") +
            "buffer of unsigned 64-bit numbers in one piece is needed, as array.array(\"Q\") or "
            "numpy.uint64 has; this " +
            type + " " + found);
    }

    Py_buffer view_;
};

}  // namespace kvmiommu
