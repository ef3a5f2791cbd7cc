# SPDX-License-Identifier: MIT
"""What is installed runs on every x86-64-v2, and the program that says so notices if not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import baseline
import pytest

from kvmiommu import _core, engine

LIBRARIES = [Path(_core.__file__), engine.library_path()]
SUM = """
long {name}(const long* row, long count) {{
    long sum = 0;
    for (long at = 0; at < count; ++at) sum += row[at];
    return sum;
}}
"""


def build(folder: Path, source: str, *options: str) -> Path:
    (folder / "library.c").write_text(source)
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    assert compiler, "the compiler that built the package"
    command = [compiler, "-x", "c", "-O3", "-fPIC", "-shared", "-march=x86-64-v2"]
    command += ["library.c", "-o", "library.so", *options]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "library.so"


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: path.name)
def test_an_installed_library_needs_no_more_than_x86_64_v2(library: Path) -> None:
    assert baseline.violations(library) == []


def test_a_function_that_needs_more_is_named(tmp_path: Path) -> None:
    wide = '__attribute__((target("avx2")))' + SUM.format(name="wide")
    narrow = SUM.format(name="narrow")
    (found,) = baseline.violations(build(tmp_path, narrow + wide))
    assert found.function == "wide"
    assert found.instruction.startswith("v")


def test_a_function_without_a_symbol_is_named_by_its_address(tmp_path: Path) -> None:
    source = "static int count(unsigned n) { return __builtin_clz(n); }\n"
    source += "int (*counter)(unsigned) = count;"
    (found,) = baseline.violations(build(tmp_path, source, "-mlzcnt", "-s"))
    assert found.instruction == "lzcnt"
    assert found.function.startswith("the function at 0x")


TABLE = """
struct kind {{ const char* name; long (*sum)(const long*, long); }};
__attribute__((section("{section}"))) const struct kind newest = {{"newest", sum}};
__attribute__((visibility("default"))) long call(const long* row, long count) {{
    return newest.sum(row, count);
}}
"""


@pytest.mark.parametrize("options", [(), ("-s",), ("-fvisibility=hidden", "-s")])
def test_functions_in_the_tables_of_newer_kinds_may_need_more(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    source = 'static __attribute__((target("avx512f")))' + SUM.format(name="sum")
    library = build(tmp_path, source + TABLE.format(section="newer_kinds"), *options)
    assert baseline.violations(library) == []
    disassembly = subprocess.run(
        ["objdump", "-d", library], capture_output=True, text=True, check=True
    )
    assert "%zmm" in disassembly.stdout


def test_functions_in_any_other_table_may_not(tmp_path: Path) -> None:
    source = 'static __attribute__((target("avx2")))' + SUM.format(name="sum")
    (found,) = baseline.violations(build(tmp_path, source + TABLE.format(section="kinds")))
    assert found.function == "sum"


def test_the_program_exits_with_1_for_a_library_that_needs_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = build(tmp_path, SUM.format(name="sum"))
    assert baseline.main([str(plain)]) == 0
    wide = build(tmp_path, SUM.format(name="sum"), "-mavx2")
    assert baseline.main([str(wide)]) == 1
    assert "sum: v" in capsys.readouterr().out
