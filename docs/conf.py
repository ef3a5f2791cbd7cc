# SPDX-License-Identifier: MIT
"""Sphinx builds these pages: `make docs`. It needs no network."""

from __future__ import annotations

from typing import cast

from sphinx.application import Sphinx

import kvmiommu

project = "kvmiommu"
copyright = "the kvmiommu authors"
author = "the kvmiommu authors"
version = release = kvmiommu.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"kvmiommu {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

#: A word in single backticks is code, as it is in Markdown.
default_role = "literal"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

# Types of the standard library and of the compiled core: there is no page about them here.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(int|str|bytes|bool|object|None|type|list|dict|tuple|memoryview|property|"
        r"BaseException|Exception|ValueError|Path|TracebackType|ReadableBuffer|WriteableBuffer|Abi|"
        r"Hex|Numbers|_Out|AnyDescriptor|Choice|Flags)",
    ),
    (
        r"py:.*",
        r"(array|os|pathlib|types|typing|collections|ctypes|enum|functools|hypothesis|pytest)\..*",
    ),
    (r"py:.*", r"(Mapping|Callable|Iterable|Collection|Protocol|Literal|Self|TypeAlias)"),
    (r"py:.*", r"kvmiommu\._core\..*|_core\..*|kvmiommu\.uapi\._show\..*"),
    # What a player needs of a system, and the calls inside a transcript.
    (r"py:.*", r"kvmiommu\.transcript\.(player|syntax|errors)\..*"),
]


def _code_blocks(_app: object, *event: object) -> None:
    """Indented text in a docstring is code, as it is in Markdown."""
    lines = cast(list[str], event[-1])
    result: list[str] = []
    inside = False
    last = ""  # the last line that is not empty
    for line in lines:
        if line and not line.startswith(" "):
            inside = False
        starts = line.startswith("    ") and not inside and (not result or not result[-1])
        if starts:
            inside = True
            if not last.endswith("::"):
                result += [".. code-block:: python", ""]
        result.append(line)
        last = line or last
    lines[:] = result


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _code_blocks)
