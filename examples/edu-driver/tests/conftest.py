# SPDX-License-Identifier: MIT
"""Profiles of Hypothesis. In CI its own one, `ci`, tries the same examples in each run."""

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# pytest --hypothesis-profile=explore: others each time, after what failed before.
settings.register_profile(
    "explore",
    max_examples=1000,
    deadline=None,
    derandomize=False,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
)
