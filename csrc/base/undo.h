// SPDX-License-Identifier: MIT
//
// Guards that undo the steps of a block, in reverse order, unless the block succeeds and dismisses
// them.

#pragma once

#include <utility>

namespace kvmiommu {

/// Runs `action` when the block is left, unless dismissed.
template <class Action>
class Undo {
  public:
    explicit Undo(Action action) : action_(std::move(action)) {}
    ~Undo() {
        if (armed_) {
            action_();
        }
    }
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;

    /// Called when the steps have succeeded.
    void dismiss() { armed_ = false; }

  private:
    Action action_;
    bool armed_ = true;
};

}  // namespace kvmiommu
