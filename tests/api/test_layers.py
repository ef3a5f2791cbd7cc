"""The arrows between the folders of csrc, read from the includes.

All folders are linked as one library, so nothing but this test holds them apart.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"

# What a folder may include; also what these folders may include, and itself.
HOUSE = {
    "base": (),
    "uapi": (),
    "mm": ("base", "uapi"),
    "fs": ("mm",),
    "iommu": ("fs",),
    "pci": ("iommu",),
    "spapr": ("iommu",),
    "iommufd": ("pci",),
    "vfio": ("iommufd",),
    "kvm": ("spapr", "pci"),
    "ioasid": ("vfio",),
    "machine": (
        "base",
        "uapi",
        "mm",
        "fs",
        "iommu",
        "pci",
        "spapr",
        "iommufd",
        "vfio",
        "kvm",
        "ioasid",
    ),
    "bindings": ("machine",),
    "supervisor": ("machine",),
    "engine": ("iommu",),
}

# Rooms: folders of a folder that nobody but machine and the room itself may include, and what each
# of them alone may include. So containers know neither PCI nor POWER, and no driver another one.
ROOMS = {
    "vfio": {"type1": (), "mdev": (), "pci": ("pci",), "spapr": ("spapr",)},
}

# Faces stand between the core and somebody else's world.
FACES = ("bindings", "supervisor", "engine")

# These two know no system, only the language.
PURE = ("base", "uapi")

# The compiler's words for instructions, where the language has none. They are no library; nobody
# but base needs them.
INSTRUCTIONS = {"immintrin.h"}

# C++ headers have no dot and no slash. The C library's that the core may ask for; what describes
# the kernel's own interfaces (linux/, asm/) is never among them: csrc/uapi describes them anew.
C_LIBRARY = {
    "errno.h",
    "fcntl.h",
    "poll.h",
    "pthread.h",  # for pthread_atfork, which C++ has no word for
    "sched.h",
    "signal.h",
    "sys/epoll.h",
    "sys/eventfd.h",
    "sys/mman.h",
    "sys/resource.h",
    "sys/stat.h",
    "sys/syscall.h",
    "sys/types.h",
    "sys/uio.h",
    "ucontext.h",
    "unistd.h",
}

INCLUDE = re.compile(r"""^\s*#\s*include\s*(?P<mark>[<"])(?P<name>[^>"]+)[>"]""")
SOURCES = {".h", ".cpp", ".def", ".S", ".c"}


def allowed(folder: str) -> set[str]:
    found = {folder}
    for below in HOUSE[folder]:
        found |= allowed(below)
    return found


def room_of(path: Path) -> str | None:
    room = path.parts[1] if len(path.parts) > 2 else None
    return room if room in ROOMS.get(path.parts[0], ()) else None


def objection(where: Path, mark: str, name: str) -> str | None:
    """What speaks against this include in this file of csrc."""
    folder, room = where.parts[0], room_of(where)
    if mark == '"':
        target, slash, _ = name.partition("/")
        if not slash or target not in HOUSE:
            return f'"{name}" is not written as "folder/file"'
        rooms = ROOMS.get(folder, {})
        for_rooms = {below for folders in rooms.values() for below in folders}
        for_this_room = rooms[room] if room is not None else ()
        if target not in (allowed(folder) - for_rooms).union(for_this_room):
            return f"{folder} may not include {target}"
        entered = room_of(Path(name))
        if entered is not None and folder != "machine" and (folder, room) != (target, entered):
            return f"nobody but machine may include {target}/{entered}"
        return None
    if folder in FACES:
        return None
    if re.fullmatch(r"[a-z_]+", name):
        return None
    if folder == "base" and name in INSTRUCTIONS:
        return None
    if name not in C_LIBRARY:
        return f"<{name}> is neither the C++ library nor a system call's header"
    if folder in PURE:
        return f"<{name}>: {folder} stands on the C++ library alone"
    return None


def objections(csrc: Path) -> Iterator[str]:
    for path in sorted(csrc.rglob("*")):
        if path.suffix not in SOURCES:
            continue
        where = path.relative_to(csrc)
        folder = where.parts[0]
        if len(where.parts) == 1 or folder not in HOUSE:
            yield f"{where}: not in a folder of the house"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if found := INCLUDE.match(line):
                text = objection(where, found["mark"], found["name"])
                if text is not None:
                    yield f"{where}:{number}: {text}"


def test_every_include_follows_the_house_table() -> None:
    found = list(objections(CSRC))
    assert not found, "\n" + "\n".join(found)


def test_the_folders_that_everything_stands_on_are_read() -> None:
    read = {path.relative_to(CSRC).parts[0] for path in CSRC.rglob("*.h")}
    assert {"base", "uapi", "mm", "fs"} <= read


@pytest.mark.parametrize("folder", HOUSE)
def test_nothing_points_back(folder: str) -> None:
    for below in HOUSE[folder]:
        assert folder not in allowed(below)


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("mm/a.h", '#include "base/base.h"', None),
        ("fs/a.h", '#include "uapi/ioctl.h"', None),
        ("iommu/pgtable/a.h", '#include "mm/mm.h"', None),
        ("vfio/a.cpp", '#include "iommu/group.h"', None),
        ("bindings/a.cpp", "#include <pybind11/pybind11.h>", None),
        ("supervisor/a.cpp", "#include <dlfcn.h>", None),
        ("mm/a.cpp", "#include <sys/mman.h>", None),
        ("mm/a.cpp", '// #include "kvm/vm.h"', None),
        ("mm/a.h", '#include "fs/file.h"', "mm/a.h:2: mm may not include fs"),
        ("mm/a.h", '  #  include "fs/file.h"', "mm/a.h:2: mm may not include fs"),
        ("kvm/a.h", '#include "vfio/group.h"', "kvm/a.h:2: kvm may not include vfio"),
        ("uapi/a.h", '#include "base/result.h"', "uapi/a.h:2: uapi may not include base"),
        (
            "iommu/drivers/a.h",
            '#include "pci/function.h"',
            "iommu/drivers/a.h:2: iommu may not include pci",
        ),
        ("fs/a.h", '#include "file.h"', 'fs/a.h:2: "file.h" is not written as "folder/file"'),
        ("vfio/type1/a.h", '#include "vfio/iommu_driver.h"', None),
        ("vfio/type1/a.h", '#include "vfio/type1/b.h"', None),
        ("vfio/pci/a.h", '#include "pci/function.h"', None),
        ("vfio/spapr/a.h", '#include "spapr/table_group.h"', None),
        ("machine/a.h", '#include "vfio/type1/type1.h"', None),
        ("vfio/a.h", '#include "spapr/table_group.h"', "vfio/a.h:2: vfio may not include spapr"),
        ("vfio/a.h", '#include "pci/function.h"', "vfio/a.h:2: vfio may not include pci"),
        (
            "vfio/type1/a.h",
            '#include "spapr/table_group.h"',
            "vfio/type1/a.h:2: vfio may not include spapr",
        ),
        (
            "vfio/a.h",
            '#include "vfio/type1/type1.h"',
            "vfio/a.h:2: nobody but machine may include vfio/type1",
        ),
        (
            "vfio/pci/a.h",
            '#include "vfio/mdev/b.h"',
            "vfio/pci/a.h:2: nobody but machine may include vfio/mdev",
        ),
        (
            "fs/a.h",
            '#include "../mm/mm.h"',
            'fs/a.h:2: "../mm/mm.h" is not written as "folder/file"',
        ),
        (
            "vfio/a.cpp",
            "#include <linux/vfio.h>",
            "vfio/a.cpp:2: <linux/vfio.h> is neither the C++ library nor a system call's header",
        ),
        (
            "kvm/a.cpp",
            "#include <boost/intrusive/list.hpp>",
            "kvm/a.cpp:2: <boost/intrusive/list.hpp> is neither the C++ library nor a system "
            "call's header",
        ),
        (
            "machine/a.cpp",
            "#include <Python.h>",
            "machine/a.cpp:2: <Python.h> is neither the C++ library nor a system call's header",
        ),
        (
            "base/a.cpp",
            "#include <unistd.h>",
            "base/a.cpp:2: <unistd.h>: base stands on the C++ library alone",
        ),
        ("attic/a.h", "", "attic/a.h: not in a folder of the house"),
        ("a.h", "", "a.h: not in a folder of the house"),
    ],
)
def test_what_the_house_allows(tmp_path: Path, file: str, line: str, expected: str | None) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#include <vector>\n{line}\n")
    assert list(objections(tmp_path)) == ([] if expected is None else [expected])


def test_the_walker_that_judges_tables_knows_nothing_of_them() -> None:
    """tests/walker is written from the specifications: it includes itself, uapi and C++."""
    folder = CSRC.parent / "tests" / "walker"
    headers = list(folder.glob("*.h"))
    assert headers
    for header in headers:
        for line in header.read_text(encoding="utf-8").splitlines():
            found = INCLUDE.match(line)
            if found is None:
                continue
            name = found["name"]
            if found["mark"] == "<":
                assert "/" not in name
                assert "." not in name
            else:
                assert name.startswith("uapi/") or (folder / name).exists()
