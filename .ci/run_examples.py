# SPDX-License-Identifier: MIT
"""Runs the Python blocks of a Markdown file, each on its own. What they raise ends the run."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main(name: str) -> None:
    text = Path(name).read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    if not blocks:
        sys.exit(f"{name}: no block begins with ```python")
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        print(f"{name}:{line + 1}")
        # The empty lines make tracebacks show the line of the file.
        code = compile("\n" * line + block.group(1), name, "exec")
        exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
    main(*sys.argv[1:])
