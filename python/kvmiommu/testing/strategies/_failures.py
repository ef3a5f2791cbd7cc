# SPDX-License-Identifier: MIT
"""Which allocation fails."""

from __future__ import annotations

from hypothesis import strategies as st

from ._arguments import at_least

__all__ = ["fail_nth"]


def fail_nth(most: int = 32) -> st.SearchStrategy[int]:
    """Values for `Process.fail_nth`: 0, no allocation fails, or which of the next calls'
    allocations does, up to `most`. Shrinks to 0, then to the first that makes a difference."""
    return st.integers(0, at_least("most", most, 0))
