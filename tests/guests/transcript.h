// SPDX-License-Identifier: MIT
//
// Random programs as transcripts, in the format that `kvmiommu replay` plays.

#pragma once

#include <string>

#include "guests/operation.h"
#include "guests/performer.h"

namespace kvmiommu::guests {

/// The call's line.
std::string line(const Operation& operation);
/// The answer's lines, each with its end.
std::string lines(const Operation& operation, const Outcome& outcome);

}  // namespace kvmiommu::guests
