// SPDX-License-Identifier: MIT
//
// Pages that are charged to an account until the object is destroyed.
// Rule: mm/util.c: account_locked_vm.

#pragma once

#include <cassert>
#include <cstdint>
#include <utility>

#include "mm/locked_memory.h"

namespace kvmiommu::mm {

/// Move-only. The account must outlive it.
class Charge {
  public:
    Charge() = default;
    explicit Charge(LockedMemory& account) : account_(&account) {}
    Charge(Charge&& other) noexcept
        : account_(other.account_), pages_(std::exchange(other.pages_, 0)) {}
    Charge& operator=(Charge&& other) noexcept {
        if (this != &other) {
            clear();
            account_ = other.account_;
            pages_ = std::exchange(other.pages_, 0);
        }
        return *this;
    }
    ~Charge() { clear(); }

    std::uint64_t pages() const { return pages_; }

    /// Charges `pages` more. No pages always succeed.
    /// ENOMEM they would pass `limit_pages`, and not `exempt`
    Result<> add(std::uint64_t pages, std::uint64_t limit_pages, bool exempt) {
        if (pages != 0) {
            assert(account_ != nullptr);
            TRY(account_->charge(pages, limit_pages, exempt));
            pages_ += pages;
        }
        return {};
    }
    /// Uncharges `pages`.
    void drop(std::uint64_t pages) {
        assert(pages <= pages_);
        if (pages != 0) {
            pages_ -= pages;
            account_->uncharge(pages);
        }
    }
    void clear() { drop(pages_); }
    /// Charges or uncharges so that `pages` are charged, whatever the limit.
    void recount(std::uint64_t pages) {
        if (pages < pages_) {
            drop(pages_ - pages);
            return;
        }
        [[maybe_unused]] const auto charged = add(pages - pages_, 0, true);
        assert(charged);
    }
    /// Moves `pages` to another Charge of the same account.
    Charge split(std::uint64_t pages) {
        assert(pages <= pages_);
        Charge part;
        part.account_ = account_;
        part.pages_ = pages;
        pages_ -= pages;
        return part;
    }

  private:
    LockedMemory* account_ = nullptr;
    std::uint64_t pages_ = 0;
};

}  // namespace kvmiommu::mm
