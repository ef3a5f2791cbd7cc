# SPDX-License-Identifier: MIT
"""What an index of packages shows about the package."""

from __future__ import annotations

import re
from importlib.metadata import metadata, requires

import kvmiommu

# pip show prints it, and an index the text of README.md.
METADATA = metadata("kvmiommu")


def test_the_description_links_to_nothing_that_only_the_sources_have() -> None:
    description = str(METADATA.get_payload())
    assert "# kvmiommu" in description
    targets = re.findall(r"\]\(([^)]*)\)", description)
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def test_each_version_of_python_that_has_a_wheel_is_named() -> None:
    classifiers = METADATA.get_all("Classifier") or []
    versions = [each.rpartition(" ")[2] for each in classifiers if re.search(r":: 3\.\d+$", each)]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert METADATA["Requires-Python"] == ">=3.11"


def test_the_version_is_the_distribution_s() -> None:
    assert kvmiommu.__version__ == METADATA["Version"]


def test_pytest_and_hypothesis_come_with_the_extra_alone() -> None:
    needed = requires("kvmiommu") or []
    for name in ("pytest", "hypothesis"):
        (line,) = (each for each in needed if each.startswith(name))
        assert 'extra == "testing"' in line.replace("'", '"')
