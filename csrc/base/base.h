// SPDX-License-Identifier: MIT
//
// base: the foundation of all other folders. Of Linux it knows only errno.
//
// Vocabulary
//   Result, Refusal   a call's value, or the errno and the reason of its refusal (result.h)
//   Source            the origin of a rule: kernel file and function, or a specification
//   Range             [start, last], both ends included (range.h)
//   RangeCounts       a count for each page of a space, stored by ranges (range_counts.h)
//   Mutex, Lock       a mutex that clang's thread-safety analysis can follow (mutex.h)
//   LockRank          its place in the order in which mutexes are taken (lock_rank.h)
//   RefCounted, Ref   objects with a reference count, and references (ref.h)
//   Census            the existing objects of one system (ref.h)
//   TraceRing         the last calls of a system (trace.h)
//   FaultPoints       allocations that can be made to fail (fault.h)
//   Undo              undoes a step at the end of a block unless the block succeeds (undo.h)
//
// Locks: lock_order.h, as in every folder. The locks of this folder are leaves.

#pragma once

#include "base/bits.h"
#include "base/fault.h"
#include "base/lock_rank.h"
#include "base/mutex.h"
#include "base/range.h"
#include "base/range_counts.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/trace.h"
#include "base/undo.h"
