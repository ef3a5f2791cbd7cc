// SPDX-License-Identifier: MIT

#include "fs/user_account.h"

namespace kvmiommu::fs {

UserAccount::~UserAccount() {
    accounts_.remove(*this);
}

Ref<UserAccount> UserAccounts::get(std::uint32_t uid) {
    const Lock lock(mutex_);
    const auto known = by_uid_.find(uid);
    if (known != by_uid_.end()) {
        if (auto account = Ref<UserAccount>::unless_dying(*known->second)) {
            return account;
        }
    }
    auto account = make<UserAccount>(census_, *this, uid);
    by_uid_[uid] = account.get();
    return account;
}

// A new account of the uid may have replaced it since its last reference was put.
void UserAccounts::remove(const UserAccount& account) {
    const Lock lock(mutex_);
    const auto found = by_uid_.find(account.uid());
    if (found != by_uid_.end() && found->second == &account) {
        by_uid_.erase(found);
    }
}

}  // namespace kvmiommu::fs
