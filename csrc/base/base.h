// SPDX-License-Identifier: MIT
//
// base: what every other folder stands on. It knows nothing of Linux but errno.
//
// Vocabulary
//   Result, Refusal   a call's value, or the errno and the reason why it was refused (result.h)
//   Source            where a rule comes from: kernel file and function, or a specification
//   Range             [start, last], both ends included (range.h)
//   RangeCounts       how often each page of a space is counted, kept as ranges (range_counts.h)
//   Mutex, Lock       a mutex that clang's thread-safety analysis can follow (mutex.h)
//   LockRank          its place in the order in which mutexes are taken (lock_rank.h)
//   RefCounted, Ref   objects counted as the kernel counts them (ref.h)
//   Census            the objects of one system that are alive (ref.h)
//   TraceRing         the last calls of a system (trace.h)
//   FaultPoints       allocations that can be told to fail (fault.h)
//   Undo              what is undone at the end of a block unless the block succeeds (undo.h)
//
// Locks: lock_order.h, as in every folder. Those of this one are leaves.

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
