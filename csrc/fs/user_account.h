// SPDX-License-Identifier: MIT
//
// The locked memory of all tasks of one user, beside that of each address space
// (struct user_struct: locked_vm). Rule: kernel/user.c: alloc_uid, free_uid.

#pragma once

#include <cstdint>
#include <map>

#include "base/base.h"
#include "fs/lock_order.h"
#include "mm/locked_memory.h"

namespace kvmiommu::fs {

class UserAccounts;

/// One for each uid, while there is a reference. A holder of a charge keeps a reference.
class UserAccount final : public RefCounted {
  public:
    /// For UserAccounts::get().
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

/// The accounts of one machine. It outlives them and holds no reference.
class UserAccounts {
  public:
    explicit UserAccounts(Census& census) : census_(census) {}
    UserAccounts(const UserAccounts&) = delete;
    UserAccounts& operator=(const UserAccounts&) = delete;

    /// The account of a uid, created if there is none.
    Ref<UserAccount> get(std::uint32_t uid) EXCLUDES(mutex_);

  private:
    friend class UserAccount;
    void remove(const UserAccount& account) EXCLUDES(mutex_);

    Census& census_;
    Mutex mutex_{lock_order::kUserAccounts};
    std::map<std::uint32_t, UserAccount*> by_uid_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
