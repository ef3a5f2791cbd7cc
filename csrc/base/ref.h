// SPDX-License-Identifier: MIT
//
// Reference counts (include/linux/kref.h). There is one Ref for each reference that the kernel
// gets, so counts equal the kernel's. A Census has the existing objects of a system; with
// KVMIOMMU_NAMED_REFERENCES an object also knows the names of its holders.
//
// A Ref is put without a lock held, because the destructor of the object may take any.

#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/lock_order.h"
#include "base/mutex.h"

namespace kvmiommu {

class RefCounted;

/// The existing objects of one system, in the order of their creation.
class Census {
  public:
    Census() = default;
    Census(const Census&) = delete;
    Census& operator=(const Census&) = delete;

    std::uint64_t alive() const EXCLUDES(mutex_);
    /// A line for each object that `expected` does not accept: its kind, its number of references
    /// and, if they are recorded, the names of the holders.
    std::vector<std::string> report(const std::function<bool(const RefCounted&)>& expected =
                                        [](const RefCounted&) { return false; }) const
        EXCLUDES(mutex_);

  private:
    friend class RefCounted;
    void enroll(RefCounted& object) EXCLUDES(mutex_);
    void strike(RefCounted& object) EXCLUDES(mutex_);

    mutable Mutex mutex_{lock_order::kCensus};
    RefCounted* first_ GUARDED_BY(mutex_) = nullptr;
    RefCounted* last_ GUARDED_BY(mutex_) = nullptr;
    std::uint64_t alive_ GUARDED_BY(mutex_) = 0;
};

/// An object with a reference count; created by make<T>(), destroyed when the last Ref is put.
class RefCounted {
  public:
    RefCounted(const RefCounted&) = delete;
    RefCounted& operator=(const RefCounted&) = delete;

    /// The kernel's name of its type, for the census.
    const char* kind() const { return kind_; }
    std::uint32_t references() const { return references_.load(std::memory_order_relaxed); }

  protected:
    RefCounted(Census& census, const char* kind) : census_(census), kind_(kind) {
        census_.enroll(*this);
    }
    virtual ~RefCounted() { census_.strike(*this); }

  private:
    friend class Census;
    template <class>
    friend class Ref;

    void get() const { references_.fetch_add(1, std::memory_order_relaxed); }
    // Gets a reference unless the count is 0 (kref_get_unless_zero).
    bool get_unless_zero() const {
        std::uint32_t seen = references_.load(std::memory_order_relaxed);
        while (seen != 0) {
            if (references_.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }
    void put() const {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            delete this;
        }
    }

#if KVMIOMMU_NAMED_REFERENCES
    void held(const void* by, const char* name) const EXCLUDES(holders_mutex_);
    void remove_holder(const void* by) const EXCLUDES(holders_mutex_);
    mutable Mutex holders_mutex_{lock_order::kHolders};
    mutable std::vector<std::pair<const void*, const char*>> holders_ GUARDED_BY(holders_mutex_);
#endif

    mutable std::atomic<std::uint32_t> references_{0};
    Census& census_;
    const char* kind_;
    RefCounted* previous_ = nullptr;
    RefCounted* next_ = nullptr;
};

/// A reference. Its name is the member that holds it ("vfio_group.container"); references of a call
/// have no name of their own.
template <class T>
class Ref {
  public:
    Ref() = default;
    Ref(std::nullptr_t) {}
    /// An empty reference with a name, a string that outlives it.
    explicit Ref(const char* place) : place_(place) {}
    /// Gets a reference to an existing object.
    explicit Ref(T& object) {
        object.get();
        hold(&object);
    }
    Ref(const Ref& other) : Ref(other.object_) {}
    // Keeps the name, because containers move their elements when they grow.
    Ref(Ref&& other) noexcept : place_(other.place_) { hold(other.release()); }
    template <class U>
        requires std::is_convertible_v<U*, T*>
    Ref(const Ref<U>& other) : Ref(static_cast<T*>(other.get())) {}
    template <class U>
        requires std::is_convertible_v<U*, T*>
    Ref(Ref<U>&& other) noexcept {
        hold(other.release());
    }
    ~Ref() { reset(); }

    // Assignment keeps the name of the left side.
    Ref& operator=(const Ref& other) { return *this = Ref(other); }
    Ref& operator=(Ref&& other) noexcept {
        T* const object = other.release();
        reset();
        hold(object);
        return *this;
    }
    Ref& operator=(std::nullptr_t) {
        reset();
        return *this;
    }

    /// A reference to `object`, or null if its count is 0 already.
    static Ref unless_dying(T& object) {
        Ref reference;
        if (static_cast<const RefCounted&>(object).get_unless_zero()) {
            reference.hold(&object);
        }
        return reference;
    }

    void reset() {
        if (T* const object = release()) {
            static_cast<const RefCounted*>(object)->put();
        }
    }

    T* get() const { return object_; }
    T& operator*() const {
        assert(object_ != nullptr);
        return *object_;
    }
    T* operator->() const {
        assert(object_ != nullptr);
        return object_;
    }
    explicit operator bool() const { return object_ != nullptr; }
    template <class U>
    bool operator==(const Ref<U>& other) const {
        return object_ == other.get();
    }

  private:
    template <class>
    friend class Ref;
    template <class U, class... Arguments>
    friend Ref<U> make(Arguments&&... arguments);

    explicit Ref(T* object) {
        if (object != nullptr) {
            static_cast<const RefCounted*>(object)->get();
            hold(object);
        }
    }

    // Records the holder; the caller has changed the count.
    void hold(T* object) {
        object_ = object;
#if KVMIOMMU_NAMED_REFERENCES
        if (object_ != nullptr) {
            static_cast<const RefCounted*>(object_)->held(this, place_);
        }
#endif
    }
    T* release() {
#if KVMIOMMU_NAMED_REFERENCES
        if (object_ != nullptr) {
            static_cast<const RefCounted*>(object_)->remove_holder(this);
        }
#endif
        return std::exchange(object_, nullptr);
    }

    T* object_ = nullptr;
    const char* place_ = "a call";
};

/// Creates an object and returns its first reference.
template <class T, class... Arguments>
Ref<T> make(Arguments&&... arguments) {
    return Ref<T>(new T(std::forward<Arguments>(arguments)...));
}

}  // namespace kvmiommu
