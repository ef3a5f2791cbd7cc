// SPDX-License-Identifier: MIT
//
// What the tasks of one user have locked together, beside what each address space has
// (struct user_struct: locked_vm). Rule: kernel/user.c: alloc_uid, free_uid.

#pragma once

#include <cstdint>
#include <map>

#include "base/base.h"
#include "fs/lock_order.h"
#include "mm/locked_memory.h"

namespace kvmiommu::fs {

class UserAccounts;

/// One for a uid at a time, as long as somebody has a reference. Who charges it keeps one.
class UserAccount final : public RefCounted {
  public:
    /// UserAccounts::get() is what makes one.
    UserAccount(Census& census, UserAccounts& accounts, std::uint32_t uid)
        : RefCounted(census, "user_struct"), accounts_(accounts), uid_(uid) {}
    ~UserAccount() override;

    std::uint32_t uid() const { return uid_; }
    mm::LockedMemory& locked_vm() { return locked_vm_; }

  private:
    UserAccounts& accounts_;
    const std::uint32_t uid_;
    mm::LockedMemory locked_vm_;
};

/// The accounts of one machine. It outlives them, and keeps none.
class UserAccounts {
  public:
    explicit UserAccounts(Census& census) : census_(census) {}
    UserAccounts(const UserAccounts&) = delete;
    UserAccounts& operator=(const UserAccounts&) = delete;

    /// The account of a uid, which is made when nobody has one.
    Ref<UserAccount> get(std::uint32_t uid) EXCLUDES(mutex_);

  private:
    friend class UserAccount;
    void remove(const UserAccount& account) EXCLUDES(mutex_);

    Census& census_;
    Mutex mutex_{lock_order::kUserAccounts};
    std::map<std::uint32_t, UserAccount*> by_uid_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
