# SPDX-License-Identifier: MIT
"""Arguments that do not fit are refused by their names, whatever method they are for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kvmiommu import Process, System, _core, uapi
from kvmiommu.iommu import Domain, Memory
from kvmiommu.vfio import Container, Group

PRIVATE = 0x22


@pytest.fixture
def system() -> Iterator[System]:
    with System("q35-intel") as running:
        yield running


@pytest.fixture
def process(system: System) -> Process:
    return system.process()


I32, U32 = "from -0x80000000 to 0x7fffffff", "from 0x0 to 0xffffffff"
I64, U64 = "from -0x8000000000000000 to 0x7fffffffffffffff", "from 0x0 to 0xffffffffffffffff"
TABLE = Domain("vtdss")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda p: p.close(1 << 31), f"fd is 0x80000000: must be {I32}"),
        (lambda p: p.ioctl(0, 1 << 32), f"request is 0x100000000: must be {U32}"),
        (lambda p: p.ioctl(0, -1), f"request is -0x1: must be {U32}"),
        (lambda p: p.ioctl(0, 1, 1 << 64), "arg is 0x10000000000000000: must be from -0x8"),
        (lambda p: p.ioctl(0, 1, -(1 << 63) - 1), "arg is -0x8000000000000001: must be from"),
        (lambda p: p.open("/dev/null", 1 << 40), f"flags is 0x10000000000: must be {I32}"),
        (lambda p: p.read(0, -1), f"length is -0x1: must be {U64}"),
        (lambda p: p.pread(0, 1, 1 << 63), f"offset is 0x8000000000000000: must be {I64}"),
        (lambda p: p.mmap(4096, 3, PRIVATE, address=-1), f"address is -0x1: must be {U64}"),
        (lambda p: p.munmap(-4096, 4096), f"address is -0x1000: must be {U64}"),
        (lambda p: p.peek(0, -1), f"length is -0x1: must be {U64}"),
        (lambda p: p.eventfd(1 << 32), f"initval is 0x100000000: must be {U32}"),
        (lambda p: p.setrlimit(8, 1 << 64, None), "soft is 0x10000000000000000: must be"),
        (lambda p: p.wait(-(1 << 40), 0), f"fd is -0x10000000000: must be {I32}"),
        (lambda p: setattr(p, "fail_nth", -1), f"fail_nth is -0x1: must be {U32}"),
        (lambda p: p._queue_hypercalls(3, [[0], [1, 1 << 64]]), r"calls\[1\]\[1\] is 0x1000"),
        (lambda p: TABLE.map(1 << 64, 0, 4096), "iova is 0x10000000000000000: must be"),
        (lambda p: TABLE.map(0, -4096, 4096), "phys is -0x1000: must be"),
        (lambda p: TABLE.map(0, 0, 4096, 1 << 32), f"prot is 0x100000000: must be {U32}"),
        (lambda p: TABLE.map_sg(0, [(0, 4096), (0, -1)]), r"pieces\[1\]\[1\] is -0x1: must be"),
        (lambda p: TABLE.fail_nth(-1), f"nth is -0x1: must be {U32}"),
        (lambda p: Domain("vtdss", 1 << 64), "pgsize_bitmap is 0x10000000000000000: must be"),
        (lambda p: Memory(-1), f"size is -0x1: must be {U64}"),
        (lambda p: setattr(_core.Description(), "memory", -1), f"memory is -0x1: must be {U64}"),
    ],
)
def test_what_does_not_fit_is_refused(
    process: Process, call: Callable[[Process], object], text: str
) -> None:
    with pytest.raises(OverflowError, match=f"^{text}"):
        call(process)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda p: p.close(1.0), "fd must be an integer or a Descriptor, not float"),
        (lambda p: p.dup("3"), "fd must be an integer or a Descriptor, not str"),
        (lambda p: p.ioctl(0, 1.5), "request must be an integer, not float"),
        (lambda p: p.ioctl(0, None), "request must be an integer, not NoneType"),
        (lambda p: p.read(0, np.float64(8)), "length must be an integer, not float64"),
        (lambda p: p.read(0, np.array([8, 9])), "length must be an integer, not ndarray"),
        (lambda p: p.wait(0, "1"), "timeout must be a number, not str"),
        (lambda p: p.open(3, 0), "path must be a path, not int"),
        (lambda p: p.memfd_create(b"name"), "name must be a str, not bytes"),
        (lambda p: p._queue_hypercalls(3, 5), "calls must be a sequence, not int"),
        (lambda p: TABLE.iova_to_phys(1.0), "iova must be an integer, not float"),
    ],
)
def test_what_is_of_another_type_is_refused(
    process: Process, call: Callable[[Process], object], text: str
) -> None:
    with pytest.raises(TypeError, match=f"^{text}"):
        call(process)


def test_integers_of_all_kinds_are_taken(process: Process) -> None:
    fd = process.eventfd(np.uint32(7), flags=False)
    assert process.read(np.int64(fd), np.uint8(8)) == (7).to_bytes(8, "little")
    container = process.open("/dev/vfio/vfio", os.O_RDWR)
    request = uapi.vfio.VFIO_CHECK_EXTENSION
    assert process.ioctl(container, request, np.uint64(1)) == 1
    assert process.ioctl(container, request, True) == 1


def test_a_path_is_taken_as_the_module_os_takes_it(process: Process) -> None:
    for path in ("/dev/null", b"/dev/null", Path("/dev/null")):
        process.close(process.open(path, os.O_RDWR))
    with pytest.raises(ValueError, match="null"):
        process.open("/dev/null\0", os.O_RDWR)
    with pytest.raises(FileNotFoundError) as refused:
        process.open(b"/dev/\xff", os.O_RDWR)
    assert refused.value.filename == "/dev/\udcff"


# -- objects of other processes


def test_objects_of_the_process_are_as_good_as_their_numbers(process: Process) -> None:
    container = Container(process)
    assert process.ioctl(container, uapi.vfio.VFIO_GET_API_VERSION) == 0
    assert process.wait(container, 0) is True
    twin = process.dup(container)
    process.close(container)
    process.close(twin)


def test_objects_of_another_process_are_refused_and_both_are_named(system: System) -> None:
    mine = system.process()
    group = Group(mine, 1)
    own = Container(mine)
    with System("q35-intel") as other_system:
        for theirs in (system.process(), other_system.process()):
            foreign = Container(theirs)
            calls: list[Callable[[], object]] = [
                lambda: mine.ioctl(foreign, uapi.vfio.VFIO_GET_API_VERSION),  # noqa: B023
                lambda: mine.read(foreign, 8),  # noqa: B023
                lambda: mine.close(foreign),  # noqa: B023
                lambda: mine.wait(foreign, 0),  # noqa: B023
                lambda: group.set_container(foreign),  # noqa: B023
            ]
            for call in calls:
                with pytest.raises(
                    ValueError, match=r"<Container.*> of another process: of <Process.*>, not of <"
                ):
                    call()
    group.set_container(own)


def test_a_descriptor_that_was_closed_is_refused(process: Process) -> None:
    container = Container(process)
    container.close()
    with pytest.raises(ValueError, match="closed"):
        process.ioctl(container, uapi.vfio.VFIO_GET_API_VERSION)


def test_a_descriptor_is_none_of_the_host(process: Process) -> None:
    assert not hasattr(Container(process), "fileno")
