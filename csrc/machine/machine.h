// SPDX-License-Identifier: MIT
//
// machine: puts a machine together from its description.
//
// Vocabulary
//   Description  the parts of a machine as plain data; a parser fills it in
//   System       a running machine
//   Process      an emulated process of a machine: a task and the address space it owns
//
// Owners
//   A System owns everything of its machine; Processes refer to it and are destroyed first. close()
//   makes every process exit and then reports the objects that are still referenced: each is a
//   leak.

#pragma once

#include "machine/description.h"
#include "machine/process.h"
#include "machine/system.h"
