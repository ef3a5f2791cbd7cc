# SPDX-License-Identifier: MIT
"""The C interface of the page tables, as a program that measures engines meets it."""

import ctypes
import errno
import subprocess
import sys

import pytest

from kvmiommu import engine

READ, WRITE = 1, 2
PA = 1 << 42


class Config(ctypes.Structure):
    _fields_ = (
        ("abi", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("pgsize_bitmap", ctypes.c_uint64),
    )


class Handle:
    """One page table of an engine, through the functions of its row."""

    def __init__(self, row: ctypes.Structure, **config: int) -> None:
        u64, pointer = ctypes.c_uint64, ctypes.c_void_p
        call = ctypes.CFUNCTYPE
        self.create = call(pointer, ctypes.POINTER(Config))(row.create)
        self._map = call(ctypes.c_int, pointer, u64, u64, u64, ctypes.c_int)(row.map)
        self._unmap = call(u64, pointer, u64, u64)(row.unmap)
        self._iova_to_phys = call(u64, pointer, u64)(row.iova_to_phys)
        self._destroy = call(None, pointer)(row.destroy)
        self._pt_bytes = call(u64, pointer)(row.pt_bytes)
        self.handle = self.create(Config(**{"abi": 1, **config}))

    def map(self, iova: int, pa: int, size: int, prot: int = READ | WRITE) -> int:
        return self._map(self.handle, iova, pa, size, prot)

    def unmap(self, iova: int, size: int) -> int:
        return self._unmap(self.handle, iova, size)

    def iova_to_phys(self, iova: int) -> int:
        return self._iova_to_phys(self.handle, iova)

    def pt_bytes(self) -> int:
        return self._pt_bytes(self.handle)

    def destroy(self) -> None:
        self._destroy(self.handle)


def rows() -> list[ctypes.Structure]:
    library = ctypes.CDLL(str(engine.library_path()))
    library.engine_list.restype = ctypes.POINTER(ctypes.POINTER(engine._Engine))
    found = []
    for each in library.engine_list():
        if not each:
            break
        found.append(each.contents)
    return found


@pytest.fixture(params=rows(), ids=lambda row: row.name.decode())
def row(request: pytest.FixtureRequest) -> ctypes.Structure:
    return request.param


def test_ranges_are_mapped_with_every_page_size(row: ctypes.Structure) -> None:
    other = Handle(row)
    before = other.pt_bytes()
    table = Handle(row)
    assert table.pt_bytes() > before
    sizes = [1 << bit for bit in range(64) if row.pgsize_bitmap >> bit & 1 and bit <= 30]
    assert sizes
    for size in sizes:
        iova = 3 * size
        assert table.map(iova, PA + 4 * size, size) == 0
        assert table.iova_to_phys(iova + 0x123) == PA + 4 * size + 0x123
        assert table.iova_to_phys(iova - 1) == 0
        assert table.map(iova, PA, size) == -errno.EEXIST
        assert table.unmap(iova, size) == size
        assert table.iova_to_phys(iova) == 0
    table.destroy()
    assert other.pt_bytes() == before
    other.destroy()


def test_what_cannot_be_mapped_changes_nothing(row: ctypes.Structure) -> None:
    page = row.pgsize_bitmap & -row.pgsize_bitmap
    table = Handle(row, pgsize_bitmap=page)
    before = table.pt_bytes()
    assert table.map(page, PA, 0) == 0
    assert table.map(page + 1, PA, page) == -errno.EINVAL
    assert table.map(page, PA, page, 0) == -errno.EINVAL
    assert table.map(page, 1 << row.oas, page) == -errno.ERANGE
    assert table.unmap(page, page // 2) == 0
    if row.ias < 64 and "signed" not in row.name.decode():
        assert table.map(1 << row.ias, PA, page) == -errno.ERANGE
    assert table.pt_bytes() == before
    assert table.map(3 * page, PA, page) == 0
    assert table.map(page, PA, 5 * page) == -errno.EEXIST
    assert [table.iova_to_phys(at * page) for at in range(1, 6)] == [0, 0, PA, 0, 0]
    table.destroy()


def test_page_sizes_can_be_taken_away(row: ctypes.Structure) -> None:
    page = row.pgsize_bitmap & -row.pgsize_bitmap
    table = Handle(row, pgsize_bitmap=page)
    assert table.map(1 << 30, PA, 64 << 20) == 0
    assert table.unmap((1 << 30) + page, page) == page
    assert table.iova_to_phys((1 << 30) + 2 * page) == PA + 2 * page
    table.destroy()


@pytest.mark.parametrize("config", [{"abi": 2}, {"flags": 1}], ids=str)
def test_a_strange_configuration_is_refused(row: ctypes.Structure, config: dict[str, int]) -> None:
    assert Handle(row, **config).handle is None


def test_the_command_prints_the_path_and_the_engines() -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "kvmiommu.engine", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert run().strip() == str(engine.library_path())
    assert [line.split()[0] for line in run("--list").splitlines()] == [
        each.name for each in engine.engines()
    ]
