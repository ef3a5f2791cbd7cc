// SPDX-License-Identifier: MIT
//
// A machine that programs have been at, and what must be left of it: nothing.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "guests/board.h"
#include "guests/must.h"
#include "machine/system.h"

namespace kvmiommu::guests {

class MachineInUse {
  public:
    explicit MachineInUse(const Board& board)
        : board_(board), system_(must(machine::System::create(board.description))) {}

    machine::System& system() { return *system_; }
    machine::Process& create_process() {
        processes_.push_back(must(system_->create_process()));
        return *processes_.back();
    }

    /// Everything is closed. What is left over and should not be, a line each.
    std::vector<std::string> close() {
        std::vector<std::string> left = system_->close();
        const mm::PhysicalMemory& memory = system_->kernel().memory();
        const auto expect_none = [&](const char* what, std::uint64_t count) {
            if (count != 0) {
                left.push_back(std::to_string(count) + " " + what);
            }
        };
        expect_none("pins", memory.total_pins());
        expect_none("frames pinned", memory.pinned_frames());
        expect_none("frames in use", memory.used_frames());
        for (const auto& process : processes_) {
            expect_none("bytes mapped", process->mm().mapped_bytes());
            if (!board_.forgets_charges) {
                expect_none("pages charged (VmLck)", process->mm().locked_vm().pages());
            }
        }
        return left;
    }

  private:
    const Board& board_;
    const std::unique_ptr<machine::System> system_;
    std::vector<std::shared_ptr<machine::Process>> processes_;
};

}  // namespace kvmiommu::guests
