#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Changes the core at random, one small fault at a time, and asks whether a test notices."""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

_EPILOG = """\
Each mutation changes one place of one file: a comparison (< to <=, == to !=), && to ||, true to
false, + 1 to nothing, a number by one, or it deletes a statement. The changed core is built and
tested; a mutation is

  noticed      a test fails, crashes or does not end
  not built    the compiler refuses it, which is noticing, too, but says nothing of the tests
  NOT NOTICED  every test passes: a test is missing, or the change changes nothing

Work is done in a git worktree of its own, made from HEAD and removed in the end: the tree that you
work in is not touched, and what is not committed is not seen. The first build is a whole one (some
minutes; ccache is used where it is there), the next ones build what changed. With --keep FOLDER the
worktree and its build stay in FOLDER for the next run.

A mutation costs what it takes to build one file, to link and to run the tests until one fails.
Unit tests alone (--pytest '') take seconds; name the Python tests that are about the file.

examples:
  tests/mutate/mutate.py csrc/vfio/group.cpp --count 10
  tests/mutate/mutate.py csrc/vfio/*.cpp --count 50 --seed 7 --pytest 'tests/api tests/property'
  tests/mutate/mutate.py csrc/vfio/group.cpp --keep build/mutate --pytest tests/conformance
  tests/mutate/mutate.py csrc/vfio/group.cpp --list      show what could be changed, build nothing
  make mutate FILES='csrc/kvm/vm.cpp' MUTATE_ARGS='--count 5'

exit status: 0 all were noticed, 1 some were not, 2 an argument or the tree as it is is wrong
"""

#: (what it is called, what it finds, what comes in its place). A place may be found by several.
_RULES: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (name, re.compile(pattern), replacement)
    for name, pattern, replacement in (
        ("comparison", r" < ", " <= "),
        ("comparison", r" <= ", " < "),
        ("comparison", r" > ", " >= "),
        ("comparison", r" >= ", " > "),
        ("comparison", r" == ", " != "),
        ("comparison", r" != ", " == "),
        ("logic", r" && ", " || "),
        ("logic", r" \|\| ", " && "),
        ("logic", r"\btrue\b", "false"),
        ("logic", r"\bfalse\b", "true"),
        ("logic", r"if \(!", "if ("),
        ("constant", r" [+-] 1\b(?!\.)", ""),
        ("constant", r"(?<![\w.'])(\d+)(?![\w.'])", "+1"),
        ("constant", r"(?<![\w.'])([1-9]\d*)(?![\w.'])", "-1"),
        ("statement", r"^ +[\w:>.()*-]+(?:\(.*\)| [-+|&]?= .*);$", ""),
    )
)
#: Lines in which a change is none, or no fault of the rules.
_SKIPPED = re.compile(r"^\s*(//|#|using |static_assert|constexpr Source|assert\()|refuse\(|\"")


@dataclass(frozen=True)
class Mutation:
    file: str
    line: int  # from 1
    kind: str
    before: str
    after: str

    def __str__(self) -> str:
        after = self.after.strip() or "(deleted)"
        return f"{self.file}:{self.line}: {self.before.strip()}\n      -> {after}"


def mutations(file: str, text: str) -> Iterator[Mutation]:
    """Everything that could be changed in a file."""
    for number, line in enumerate(text.splitlines(), 1):
        if _SKIPPED.search(line):
            continue
        code = line.split("//")[0].rstrip()
        for kind, pattern, replacement in _RULES:
            for found in pattern.finditer(code):
                new = replacement
                if replacement in ("+1", "-1"):
                    new = str(int(found[1], 0 if found[1] == "0" else 10) + int(replacement))
                after = code[: found.start()] + new + code[found.end() :]
                whole = kind != "statement" or code.count("(") == code.count(")")
                if whole and after != code:
                    yield Mutation(file, number, kind, code, after)


def run(command: list[str], where: Path, log: Path, timeout: float, **env: str) -> bool:
    """Does it end well, and in time? What it prints goes to the end of the log."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=where,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | env,
            start_new_session=True,
        )
        try:
            return process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Tree:
    """A worktree with a build of its own."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder = folder
        self.jobs = arguments.jobs
        self.timeout = arguments.timeout
        self.pytest = arguments.pytest.split()
        self.log = folder.parent / "mutate.log"
        self.kept = arguments.keep is not None
        if self.kept and (folder / ".git").exists():
            git("-C", str(folder), "checkout", "--quiet", "--force", "--detach", head())
        else:
            git("worktree", "add", "--quiet", "--force", "--detach", str(folder), "HEAD")

    def remove(self) -> None:
        if not self.kept:
            git("worktree", "remove", "--force", str(self.folder))

    def configure(self) -> bool:
        wants_python = "ON" if self.pytest else "OFF"
        command = ["cmake", "-S", ".", "-B", "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug"]
        command += ["-DCMAKE_CXX_FLAGS=-O0", "-DKVMIOMMU_TESTS=ON"]
        command += [f"-DKVMIOMMU_PYTHON={wants_python}", f"-DPython_EXECUTABLE={sys.executable}"]
        if self.pytest:
            found = subprocess.run(
                [sys.executable, "-m", "pybind11", "--cmakedir"],
                check=True,
                capture_output=True,
                text=True,
            )
            command.append(f"-Dpybind11_DIR={found.stdout.strip()}")
        if shutil.which("ccache"):
            command.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        return run(command, self.folder, self.log, 600)

    def build(self) -> bool:
        cache = {"CCACHE_BASEDIR": str(self.folder), "CCACHE_NOHASHDIR": "1"}
        command = ["cmake", "--build", "build", "-j", str(self.jobs)]
        if not run(command, self.folder, self.log, 7200, **cache):
            return False
        package = self.folder / "build/package/kvmiommu"
        shutil.copytree(self.folder / "python/kvmiommu", package, dirs_exist_ok=True)
        for library in (self.folder / "build").glob("*.so"):
            shutil.copy2(library, package)
        return True

    def passes(self) -> bool:
        unit = ["build/tests/unit/unit_tests", "--abort-after=1"]
        if not run(unit, self.folder, self.log, self.timeout):
            return False
        if not self.pytest:
            return True
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        path = f"{self.folder}/build/package:{self.folder}/tests"
        command += self.pytest
        return run(command, self.folder, self.log, self.timeout, PYTHONPATH=path)

    def judge(self, mutation: Mutation) -> str:
        file = self.folder / mutation.file
        original = file.read_text()
        changed = original.splitlines()
        changed[mutation.line - 1] = mutation.after
        file.write_text("\n".join(changed) + "\n")
        try:
            if not self.build():
                return "not built"
            return "NOT NOTICED" if self.passes() else "noticed"
        finally:
            file.write_text(original)


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def head() -> str:
    return git("rev-parse", "HEAD").strip()


def committed(file: str) -> str:
    """A file's text as HEAD has it."""
    path = Path(file).resolve()
    if not path.is_relative_to(TOP) or path.suffix not in (".cpp", ".h"):
        raise SystemExit(f"mutate: {file} is no .cpp or .h of this repository")
    try:
        return git("show", f"HEAD:{path.relative_to(TOP)}")
    except subprocess.CalledProcessError:
        raise SystemExit(f"mutate: {file} is not in HEAD; commit it first") from None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of csrc/ to change")
    parser.add_argument("--count", type=int, default=10, help="how many mutations (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice among them (1)")
    parser.add_argument("--jobs", type=int, default=2, help="of the build (2)")
    parser.add_argument(
        "--pytest",
        default="tests/api tests/conformance",
        metavar="ARGS",
        help="what pytest runs after the unit tests; '' for none (tests/api tests/conformance)",
    )
    parser.add_argument(
        "--timeout", type=float, default=900, help="seconds that tests may take (900)"
    )
    parser.add_argument(
        "--keep", metavar="FOLDER", help="where the worktree is, and stays for the next run"
    )
    parser.add_argument(
        "--list", action="store_true", help="print all mutations, and build nothing"
    )
    arguments = parser.parse_args()

    possible: list[Mutation] = []
    for file in arguments.files:
        text = committed(file)
        possible += mutations(str(Path(file).resolve().relative_to(TOP)), text)
    if arguments.list:
        for each in possible:
            print(each)
        print(f"{len(possible)} mutations")
        return 0
    chosen = random.Random(arguments.seed).sample(possible, min(arguments.count, len(possible)))
    print(f"mutate: seed {arguments.seed}, {len(chosen)} of {len(possible)} mutations", flush=True)

    # Ended from outside, it still removes its worktree.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    with tempfile.TemporaryDirectory(prefix="mutate-") as temporary:
        folder = Path(arguments.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        tree = Tree(folder / "tree", arguments)
        try:
            return judge_all(tree, chosen)
        finally:
            tree.remove()


def judge_all(tree: Tree, chosen: list[Mutation]) -> int:
    begin = time.monotonic()
    if not (tree.configure() and tree.build() and tree.passes()):
        sys.stdout.write(tree.log.read_text()[-3000:])
        print("mutate: the tree as it is does not build or pass")
        return 2
    print(f"as it is: built and passed, {time.monotonic() - begin:.0f} s", flush=True)
    counts: Counter[str] = Counter()
    survivors = []
    for at, mutation in enumerate(chosen, 1):
        begin = time.monotonic()
        verdict = tree.judge(mutation)
        counts[verdict] += 1
        if verdict == "NOT NOTICED":
            survivors.append(mutation)
        seconds = time.monotonic() - begin
        print(f"[{at}/{len(chosen)}] {verdict}, {seconds:.0f} s: {mutation}", flush=True)
    print()
    for mutation in survivors:
        print(f"not noticed: {mutation}")
    print(
        f"{counts['noticed']} noticed, {counts['NOT NOTICED']} not noticed, "
        f"{counts['not built']} not built, of {len(chosen)}"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
