# SPDX-License-Identifier: MIT
"""The names that type checkers know are those that there are, and the typed program runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

from kvmiommu import iommu, machine, semantics
from kvmiommu.system import MachineName

SCRIPT = Path(__file__).parents[1] / "typing" / "user_script.py"


def test_the_names_of_the_types_are_all_names() -> None:
    assert get_args(iommu.FormatName) == tuple(iommu.formats())
    assert get_args(semantics.Semantics) == tuple(machine.SEMANTICS)
    assert get_args(semantics.AttachAfterMap) == tuple(machine.ATTACH_AFTER_MAP)
    assert get_args(semantics.IommuDriver) == tuple(machine.IOMMU_DRIVERS)
    assert sorted(get_args(MachineName)) == sorted(machine.names())


def test_the_program_that_type_checkers_read_runs() -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("65536 ")
