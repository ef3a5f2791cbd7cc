// SPDX-License-Identifier: MIT
//
// machine: puts a machine together from its description.
//
// Vocabulary
//   Description  what a machine is made of, as plain data; who parses a file fills it in
//   System       a running machine
//   Process      an emulated process of a machine: a task and the address space it owns
//
// Owners
//   A System owns everything of its machine; Processes refer to it and must go first. close()
//   lets every process exit and then says what is still alive: nothing, or there is a leak.

#pragma once

#include "machine/description.h"
#include "machine/process.h"
#include "machine/system.h"
