// SPDX-License-Identifier: MIT
//
// A vector that keeps its first few elements in itself: what mostly holds one element costs no
// allocation.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace kvmiommu {

/// `N` elements within the object, more on the heap. For types that are copied as bytes.
template <class T, std::size_t N>
class InlineVector {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    InlineVector() = default;
    InlineVector(InlineVector&& other) noexcept { take(other); }
    InlineVector& operator=(InlineVector&& other) noexcept {
        if (this != &other) {
            take(other);
        }
        return *this;
    }

    bool empty() const { return size_ == 0; }
    std::size_t size() const { return size_; }
    T* begin() { return data_; }
    T* end() { return begin() + size_; }
    const T* begin() const { return data_; }
    const T* end() const { return begin() + size_; }
    const T& back() const { return *(end() - 1); }

    void push_back(const T& element) {
        if (size_ == capacity_) [[unlikely]] {
            const T copy = element;
            grow(2 * size_);
            begin()[size_++] = copy;
            return;
        }
        begin()[size_++] = element;
    }
    /// Puts `elements`, which are not of this vector, in the place of [first, last).
    void replace(T* first, T* last, std::span<const T> elements) {
        const auto at = static_cast<std::size_t>(first - begin());
        const auto behind = static_cast<std::size_t>(end() - last);
        const std::size_t size = at + elements.size() + behind;
        if (size > capacity_) {
            const auto removed = last - first;
            grow(std::max(size, 2 * capacity_));
            last = begin() + at + removed;
        }
        std::memmove(begin() + at + elements.size(), last, behind * sizeof(T));
        std::copy(elements.begin(), elements.end(), begin() + at);
        size_ = size;
    }
    void clear() {
        heap_.reset();
        data_ = inline_;
        capacity_ = N;
        size_ = 0;
    }

  private:
    void grow(std::size_t capacity) {
        auto larger = std::make_unique_for_overwrite<T[]>(capacity);
        std::copy(begin(), end(), larger.get());
        heap_ = std::move(larger);
        data_ = heap_.get();
        capacity_ = capacity;
    }
    void take(InlineVector& other) {
        if (!other.heap_) {
            std::copy_n(other.inline_, other.size_, inline_);
        }
        heap_ = std::move(other.heap_);
        data_ = heap_ ? heap_.get() : inline_;
        other.data_ = other.inline_;
        capacity_ = std::exchange(other.capacity_, N);
        size_ = std::exchange(other.size_, 0);
    }

    T* data_ = inline_;
    std::size_t size_ = 0;
    std::size_t capacity_ = N;
    std::unique_ptr<T[]> heap_;
    T inline_[N];
};

}  // namespace kvmiommu
