// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::bindings::lock_order {

inline constexpr LockRank kBoard{Layer::face, 2, "a board"};
inline constexpr LockRank kModelFace{Layer::face, 1, "a model of Python"};
inline constexpr LockRank kBell{Layer::face, 0, "watches of a bell"};
inline constexpr LockRank kArguments{Layer::face, 0, "argument memory"};
inline constexpr LockRank kErrors{Layer::face, 0, "errors of models"};
inline constexpr LockRank kRangeClaims{Layer::face, 0, "who is at work in a table"};

}  // namespace kvmiommu::bindings::lock_order
