"""Our numbers and layouts are those of the headers that this system has installed.

Each name becomes one line of a C program, a static assertion on what the system's header makes of
it. The compiler's complaints then sort the lines: an assertion that failed is a difference, any
other error means that the header lacks the name. It may be older than 6.12, or newer, or of an
architecture that does not have the name; what was lacking is counted and printed (pytest -rP).

Runs where a C compiler and the headers are installed. CPATH chooses other headers.
"""

import os
import platform
import re
import shutil
import subprocess
from types import ModuleType

import pytest

from kvmiommu import _core
from kvmiommu.uapi import iommufd, kvm, vfio

BASELINE = (6, 12)
HEADERS = {"vfio": vfio, "kvm": kvm, "iommufd": iommufd}
# Compiler and encoding. Registers make KVM's numbers differ on every architecture, and we have
# those of these two.
NATIVE = {"x86_64": "generic", "ppc64le": "power", "ppc64": "power"}
TARGETS = {
    "native": (("cc", "gcc", "clang"), NATIVE.get(platform.machine())),
    "powerpc64le": (("powerpc64le-linux-gnu-gcc",), "power"),
}
# They count what is defined, so they are the baseline's and no other version's.
COUNTS = {"KVM_DEV_TYPE_MAX", "VFIO_DEVICE_STATE_NR", "KVM_IOEVENTFD_VALID_FLAG_MASK"}
# What headers of the baseline lack, for 7.2 has added it.
SINCE_7_2 = re.compile(
    r"(IOMMUFD_CMD|IOMMU)_(IOAS_MAP_FILE|IOAS_CHANGE_PROCESS|VIOMMU_\w+|VDEVICE_\w+|VEVENTQ_\w+"
    r"|HW_QUEUE_\w+|HWPT_ALLOC_PASID|HW_INFO_FLAG_INPUT_TYPE"
    r"|HW_INFO_TYPE_(DEFAULT|ARM_SMMUV3|TEGRA241_CMDQV|AMD))"
    r"|VFIO_DEVICE_FEATURE_(DMA_BUF|MIG_PRECOPY_INFOv2)"
    r"|iommu_(ioas_map_file|ioas_change_process|viommu_alloc|vdevice_alloc|veventq_alloc"
    r"|hw_queue_alloc)(\.\w+)?"
)
DIFFERENCE = re.compile(r"static assertion failed|static_assert failed")


class Compiler:
    def __init__(self, command: str, header: str) -> None:
        self.command = command
        version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
        # clang gives up after twenty errors, and gcc does not know the option.
        self.options = ["-w", *(["-ferror-limit=0"] if "clang" in version.stdout else [])]
        self.prologue = f"#include <stddef.h>\n#include <linux/version.h>\n#include <{header}>\n"

    def run(self, arguments: list[str], lines: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *self.options, *arguments, "-x", "c", "-"],
            input=self.prologue + "".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )

    def version(self) -> tuple[int, int]:
        code = re.search(
            r"^#define LINUX_VERSION_CODE (\d+)", self.run(["-E", "-dM"], []).stdout, re.MULTILINE
        )
        assert code
        return int(code[1]) >> 16, int(code[1]) >> 8 & 0xFF

    def words(self) -> set[str]:
        """Everything that the headers define or mention, comments aside."""
        return set(re.findall(r"\w+", self.run(["-E", "-dD"], []).stdout))

    def judge(self, probes: dict[str, str]) -> tuple[set[str], set[str]]:
        """Return the names whose probe failed and those whose probe means nothing here."""
        names = list(probes)
        lines = [f'_Static_assert({probes[name]}, "");' for name in names]
        result = self.run(["-fsyntax-only"], lines)
        first = self.prologue.count("\n") + 1
        different, lacking = set(), set()
        for line, message in re.findall(r"^<stdin>:(\d+):\d+: error: (.*)$", result.stderr, re.M):
            name = names[int(line) - first]
            (different if DIFFERENCE.search(message) else lacking).add(name)
        assert result.returncode == 0 or different or lacking, result.stderr
        return different, lacking


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> tuple[str, str]:
    commands, abi = TARGETS[request.param]
    if abi is None:
        pytest.skip(f"the numbers are x86's and POWER's, and this is {platform.machine()}")
    found = next(filter(None, map(shutil.which, commands)), None)
    if found is None:
        pytest.skip(f"no C compiler is installed: {', '.join(commands)}")
    return found, abi


@pytest.fixture(params=HEADERS)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return HEADERS[request.param]


@pytest.fixture
def compiler(target: tuple[str, str], module: ModuleType) -> Compiler:
    header = f"linux/{module.__name__.rpartition('.')[2]}.h"
    compiler = Compiler(target[0], header)
    result = compiler.run(["-fsyntax-only"], [])
    if result.returncode != 0:
        lacks = re.search(r"fatal error: '?([\w/.]+\.h)'?", result.stderr)
        assert lacks, result.stderr
        pytest.skip(f"{target[0]} finds no <{lacks[1]}>: kernel headers are not installed for it")
    return compiler


def equals(name: str, value: int) -> str:
    """A C condition: the system's name has our value.

    Where C has an int and we an unsigned number, only the sign may differ.
    """
    wide = f"(unsigned long long)({name})"
    if -(1 << 31) <= value < 1 << 32:
        low = value & 0xFFFFFFFF
        return (
            f"({wide} & 0xffffffff) == {low:#x}ULL && "
            f"({wide} >> 32 == 0 || {wide} >> 32 == 0xffffffff)"
        )
    return f"{wide} == {value:#x}ULL"


def compare(compiler: Compiler, probes: dict[str, str], what: str) -> set[str]:
    different, lacking = compiler.judge(probes)
    print(f"{what}: {len(probes)} of ours, {len(lacking)} lacking here: {sorted(lacking)}")
    assert not different
    assert len(lacking) < len(probes), "nothing was compared"
    return lacking


def test_numbers_are_the_systems(compiler: Compiler, module: ModuleType, target: tuple[str, str]):
    names = set(module.__all__)
    version = compiler.version()
    numbers = {**_core.uapi.constants(), **_core.uapi.requests(target[1])}
    probes = {
        name: equals(name, value)
        for name, value in numbers.items()
        if name in names and (version == BASELINE or name not in COUNTS)
    }
    for name, value in _core.uapi.strings().items():
        if name in names:
            probes[name] = f'__builtin_strcmp({name}, "{value}") == 0'
    lacking = compare(compiler, probes, f"{module.__name__}, headers of {version}")
    # Lacking must mean that the name is not there, not that we asked in a wrong way. A request may
    # be there and make no sense, where the architecture lacks the structure that it is made of.
    assert not (lacking - _core.uapi.requests(target[1]).keys()) & compiler.words()
    if version == BASELINE and module is not kvm:
        assert all(map(SINCE_7_2.fullmatch, lacking))


def test_structures_are_the_systems(compiler: Compiler, module: ModuleType):
    version = compiler.version()
    layouts = {n: s for n, s in _core.uapi.structs().items() if n in set(module.__all__)}
    probes = {}
    for name, (_, fields) in layouts.items():
        for field, (offset, size) in fields.items():
            probes[f"{name}.{field}"] = (
                f"offsetof(struct {name}, {field}) == {offset} && "
                f"sizeof(((struct {name} *)0)->{field}) == {size}"
            )
    lacking = compare(compiler, probes, f"{module.__name__}, fields, headers of {version}")
    if version == BASELINE and module is not kvm:
        assert all(map(SINCE_7_2.fullmatch, lacking))

    # Structures grow at their end. A field that the system lacks makes its structure the shorter
    # one; a system newer than ours may have the longer one.
    sizes = {}
    for name, (size, fields) in layouts.items():
        relation = ">=" if version > BASELINE else "=="
        if any(f"{name}.{field}" in lacking for field in fields):
            relation = "<="
        sizes[name] = f"sizeof(struct {name}) {relation} {size}"
    absent = compare(compiler, sizes, f"{module.__name__}, structures, headers of {version}")
    assert not {name for name in absent if f"{name}.{next(iter(layouts[name][1]))}" not in lacking}
