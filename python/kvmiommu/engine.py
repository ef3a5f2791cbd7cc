# SPDX-License-Identifier: MIT
"""The page tables behind a C interface, for programs that measure or compare engines.

The package ships a shared library without any Python in it. It exports one function,
``const struct engine *const *engine_list(void)``: the engines that it holds, one a page-table
format, with a null pointer behind the last. ``csrc/engine/engine_abi.h`` describes the struct.

``python -m kvmiommu.engine`` prints the library's path, ``--list`` what it holds.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._shown import Hex, shown

__all__ = ["Engine", "engines", "library_path"]


class _Engine(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("create", ctypes.c_void_p),
        ("map", ctypes.c_void_p),
        ("unmap", ctypes.c_void_p),
        ("iova_to_phys", ctypes.c_void_p),
        ("destroy", ctypes.c_void_p),
        ("pt_bytes", ctypes.c_void_p),
        ("pgsize_bitmap", ctypes.c_uint64),
        ("ias", ctypes.c_uint32),
        ("oas", ctypes.c_uint32),
        ("note", ctypes.c_char_p),
    )


@shown
@dataclass(frozen=True, repr=False)
class Engine:
    """One engine of the library."""

    #: ``kvmiommu-`` and the format.
    name: str
    #: Page sizes that it can map, a bit each.
    pgsize_bitmap: Hex
    #: Bits of an iova.
    ias: int
    #: Bits of a physical address.
    oas: int
    #: What kind of table it is.
    note: str


def library_path() -> Path:
    """Where the shared library is.

    Raises FileNotFoundError when the package was built without it.
    """
    path = Path(__file__).with_name("libkvmiommu_engine.so")
    if not path.is_file():
        raise FileNotFoundError(f"the package has no engine library: expected {path}")
    return path


def engines() -> tuple[Engine, ...]:
    """The engines of the library, in its order."""
    return tuple(_engines())


def _engines() -> Iterator[Engine]:
    library = ctypes.CDLL(str(library_path()))
    library.engine_list.restype = ctypes.POINTER(ctypes.POINTER(_Engine))
    for each in library.engine_list():
        if not each:
            return
        row = each.contents
        yield Engine(row.name.decode(), row.pgsize_bitmap, row.ias, row.oas, row.note.decode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints the path, or the engines with ``--list``."""
    parser = argparse.ArgumentParser(
        prog="python -m kvmiommu.engine",
        description="Print the path of the shared library that exports engine_list().",
    )
    parser.add_argument("--list", action="store_true", help="print its engines, a line each")
    if parser.parse_args(arguments).list:
        for each in engines():
            print(f"{each.name:<22} ias {each.ias:2} oas {each.oas:2} {each.note}")
    else:
        print(library_path())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
