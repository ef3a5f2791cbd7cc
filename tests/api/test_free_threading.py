# SPDX-License-Identifier: MIT
"""On a Python without the GIL the package does not bring it back."""

from __future__ import annotations

import sys
import sysconfig

import kvmiommu


def test_the_extension_does_without_the_gil() -> None:
    """Python turns it on when it loads an extension that does not say so."""
    assert kvmiommu.__name__ in sys.modules
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert has_gil == (not sysconfig.get_config_var("Py_GIL_DISABLED"))
