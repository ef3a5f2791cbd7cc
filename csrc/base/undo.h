// SPDX-License-Identifier: MIT
//
// What a step took and a later step must not leave behind when it fails: undone at the end of the
// block, in the reverse order of taking, unless the caller says that everything went well.

#pragma once

#include <utility>

namespace kvmiommu {

/// Runs `action` when the block is left, by whatever way, until it is dismissed.
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

    /// The steps succeeded: what they took is kept.
    void dismiss() { armed_ = false; }

  private:
    Action action_;
    bool armed_ = true;
};

}  // namespace kvmiommu
