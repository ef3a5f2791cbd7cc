# SPDX-License-Identifier: MIT
"""`python -m kvmiommu` is the command `kvmiommu`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
