# SPDX-License-Identifier: MIT
"""What every test may use; see README.md for where a test belongs."""

pytest_plugins = ["pytester"]
