# SPDX-License-Identifier: MIT
"""How long the property tests search.

    pytest tests/property                                a minute at most
    pytest tests/property --hypothesis-profile=nightly   or HYPOTHESIS_PROFILE=nightly

Nothing is kept between runs: a failure prints the example, which then becomes a test of its own.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A deadline would measure the other work of the machine, and examples that build a machine are slow
# to make by nature.
_COMMON = settings(
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("default", _COMMON, max_examples=200, stateful_step_count=30)
settings.register_profile("ci", _COMMON, max_examples=600, stateful_step_count=40, derandomize=True)
settings.register_profile("nightly", _COMMON, max_examples=20_000, stateful_step_count=60)


def pytest_configure(config: pytest.Config) -> None:
    default = "ci" if os.environ.get("CI") else "default"
    settings.load_profile(
        config.getoption("--hypothesis-profile") or os.environ.get("HYPOTHESIS_PROFILE") or default
    )
