// SPDX-License-Identifier: MIT
//
// Random programs: plausible calls in any order, with fields that are right more often than not.
// What a program does depends on its choices alone, never on an answer, so that it can be printed
// before it runs.

#pragma once

#include <cstdint>
#include <vector>

#include "guests/board.h"
#include "guests/choices.h"
#include "guests/operation.h"

namespace kvmiommu::guests {

class RandomProgram {
  public:
    RandomProgram(const Board& board, Choices choices) : board_(board), choices_(choices) {}

    bool exhausted() const { return choices_.exhausted(); }

    /// What most programs begin with: memory, containers, groups, devices, a virtual machine.
    void begin(std::vector<Operation>& into);
    /// One step: a call, or a few that only make sense together.
    void step(std::vector<Operation>& into);

  private:
    class Writer;

    const Board& board_;
    Choices choices_;
};

/// The whole program that these bytes are: the machine, then at most `most` calls.
struct Program {
    const Board* board;
    std::vector<Operation> operations;
};
Program decode(std::span<const std::uint8_t> bytes, std::size_t most = 400);

}  // namespace kvmiommu::guests
