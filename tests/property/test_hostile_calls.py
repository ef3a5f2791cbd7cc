# SPDX-License-Identifier: MIT
"""Any call with any argument: nothing but OSError and MemoryFault, and nothing is left over.

A program is a list of calls. Descriptors, addresses and struct fields are small numbers that stand
for what the two processes have, so that a failing program shrinks to the few calls that matter.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from mmap import MAP_SHARED
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import MemoryFault, Process, System, uapi
from kvmiommu.machine import Machine
from kvmiommu.uapi import kvm, vfio
from programs import (
    PRIVATE,
    READ_WRITE,
    add_file,
    bare,
    device,
    group_in_container,
    kvm_vfio_device,
    map_dma,
    memory,
    q35,
    type1,
    vm,
)

PAGES = 16
#: Where a process keeps the numbers of its descriptors, in the order of KINDS.
FD_PAGE = (PAGES - 1) * 4096
#: Little memory: then to ask for all there is costs nothing.
MACHINES = {
    "q35": q35(memory="16M"),
    "q35-fixed": q35(
        memory="16M", fixed=("type1-dirty-stale-bits", "type1-unmap-to-the-last-byte")
    ),
    "without-vfio": bare(vfio=False),
    "power-64K": bare("ppc64le", "64K"),
}

# -- what calls are made of

_REQUESTS = {
    abi: sorted(
        {
            value.number(abi)
            for header in (vfio, kvm, uapi.iommufd, uapi.iommufd_test)
            for value in vars(header).values()
            if isinstance(value, uapi.Request)
        }
    )
    for abi in ("generic", "power")
}
_LIKELY = [
    request
    for name, request in vars(vfio).items()
    if isinstance(request, uapi.Request) and not name.startswith("VFIO_DEVICE")
] + [
    kvm.KVM_CREATE_VM,
    kvm.KVM_CREATE_DEVICE,
    kvm.KVM_SET_DEVICE_ATTR,
    kvm.KVM_HAS_DEVICE_ATTR,
    kvm.KVM_SET_USER_MEMORY_REGION,
    kvm.KVM_CHECK_EXTENSION,
]
_COMMON = [0x5421, 0x5450, 0x5451]  # FIONBIO, FIONCLEX, FIOCLEX

NAMES = [b"0000:00:02.0\0", b"0000:02:01.0\0", b"0000:02:02.0\0", b"0000:00:05.0\0", b"nobody\0"]
PATHS = [
    "/dev/vfio/vfio",
    *(f"/dev/vfio/{group}" for group in range(10)),
    "/dev/kvm",
    "/dev/null",
    "/dev/vfio/devices/vfio0",
    "/dev/vfio",
    "/dev/../dev/./null",
    "",
    "/",
    "x" * 5000,
]

who = st.integers(0, 1)
#: Of each process: a group, a device of it, another group.
GROUPS = [
    ("/dev/vfio/1", b"0000:00:02.0\0", "/dev/vfio/8"),
    ("/dev/vfio/4", b"0000:00:05.0\0", "/dev/vfio/3"),
]
KINDS = [
    "eventfd", "memfd", "vm", "kvm-device", "container", "group", "device", "container-2",
    "group-2", "empty-container",
]  # fmt: skip
# A descriptor: what its process was given of that kind, or a number.
fds = st.one_of(
    st.sampled_from(KINDS),
    st.integers(0, 24),
    st.sampled_from([-1, 1023, 2**31 - 1, -(2**31)]),
)
_EDGES = [0, 1, 2**12, 2**16, 2**21, 2**30, 2**31, 2**32, 2**39, 2**47, 2**48, 2**63, 2**64]
u64 = st.one_of(
    st.integers(0, 64),
    st.builds(lambda edge, by: (edge + by) % 2**64, st.sampled_from(_EDGES), st.integers(-2, 2)),
    st.integers(0, 2**64 - 1),
)
u32 = st.one_of(st.integers(0, 64), u64.map(lambda value: value % 2**32))
i64 = u64.map(lambda value: value - 2**63 if value >= 2**63 else value)
# An address in the memory of the process: ("at", distance); else the number.
addresses = st.one_of(st.tuples(st.just("at"), st.integers(-8, PAGES * 4096 + 8)), u64)
page_addresses = st.one_of(
    st.tuples(st.just("at"), st.integers(0, PAGES).map(lambda page: page * 4096)), u64
)
lengths = st.one_of(st.integers(0, 4), st.integers(0, 5).map(lambda page: page * 4096), u64)

# A struct is a list of fields: ("u32", n), ("u64", n), ("ptr", distance), ("fd", kind),
# ("hex", bytes).
fields = st.one_of(
    st.tuples(st.just("u32"), u32),
    st.tuples(st.just("u64"), u64),
    st.tuples(st.just("u64"), st.integers(0, 64).map(lambda page: page * 4096)),
    st.tuples(st.just("ptr"), st.integers(0, PAGES).map(lambda page: page * 4096)),
    st.tuples(st.just("ptr"), st.integers(-8, 4104)),
    st.tuples(st.just("fd"), st.sampled_from(KINDS)),
    st.tuples(st.just("hex"), st.binary(max_size=32)),
)
blocks = st.tuples(st.just("block"), st.lists(fields, max_size=7), st.booleans())
# Most structs of VFIO begin with their size and flags, then have numbers of eight bytes.
shaped = st.builds(
    lambda argsz, flags, rest: ("block", [("u32", argsz), ("u32", flags), *rest], False),
    st.one_of(st.sampled_from([24, 32, 40, 48, 56, 256]), u32),
    st.one_of(st.integers(0, 8), u32),
    st.lists(fields, max_size=5),
)
arguments = st.one_of(
    shaped,
    blocks,
    st.sampled_from(NAMES).map(lambda name: ("block", [("hex", name)], True)),
    st.tuples(st.just("number"), addresses),
    st.tuples(st.just("number"), st.integers(-1, 24)),
    st.just(("none",)),
)
requests = st.one_of(st.sampled_from(_LIKELY), st.integers(0, 10**6), st.sampled_from(_COMMON), u32)


def call(name: str, *parameters: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(name), who, st.tuples(*parameters))


# Calls that have a chance: the file knows the request, and the struct is nearly right.
_page = st.integers(0, PAGES).map(lambda page: page * 4096)
_near = st.integers(240, 290).map(lambda page: page * 4096)
_iova = st.one_of(_near, _near, u64)
_flags = st.one_of(st.integers(0, 7), u32)
_access = st.one_of(st.integers(1, 3), st.integers(1, 3), _flags)


def apt(
    kinds: list[str], request: int, *parts: tuple[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    block = st.tuples(*(st.tuples(st.just(kind), values) for kind, values in parts)).map(
        lambda fields: ("block", list(fields), False)
    )
    return call("ioctl", st.sampled_from(kinds), st.just(request), block)


def apt_number(kinds: list[str], request: int, *numbers: int) -> st.SearchStrategy[Any]:
    argument = st.sampled_from(numbers).map(lambda number: ("number", number))
    return call("ioctl", st.sampled_from(kinds), st.just(request), argument)


_containers = ["container", "container-2", "empty-container"]
_groups = ["group", "group-2"]
apt_ioctls = st.one_of(
    apt(
        _containers,
        vfio.VFIO_IOMMU_MAP_DMA,
        *[("u32", st.just(32)), ("u32", _access), ("ptr", _page), ("u64", _iova), ("u64", _page)],
    ),
    apt(
        _containers,
        vfio.VFIO_IOMMU_UNMAP_DMA,
        *[("u32", st.sampled_from([24, 48])), ("u32", _flags), ("u64", _iova), ("u64", _page)],
        *[("u64", st.just(4096)), ("u64", st.sampled_from([8, 64])), ("ptr", _page)],
    ),
    apt_number(_containers, vfio.VFIO_SET_IOMMU, 1, 3, 6, 8),
    apt(
        _containers,
        vfio.VFIO_IOMMU_UNMAP_DMA,
        ("u32", st.just(24)),
        ("u32", st.sampled_from([2, 6])),
    ),
    apt(
        _containers,
        vfio.VFIO_IOMMU_DIRTY_PAGES,
        *[("u32", st.sampled_from([24, 56])), ("u32", st.sampled_from([1, 2, 4]))],
        *[("u64", _iova), ("u64", _page), ("u64", st.just(4096)), ("u64", st.just(64))],
        ("ptr", _page),
    ),
    apt(
        _containers,
        vfio.VFIO_IOMMU_GET_INFO,
        *[("u32", st.one_of(st.integers(0, 256), u32)), ("hex", st.just(bytes(256)))],
    ),
    apt(_groups, vfio.VFIO_GROUP_SET_CONTAINER, ("fd", st.sampled_from([*_containers, "memfd"]))),
    apt_number(_groups, vfio.VFIO_GROUP_UNSET_CONTAINER, 0),
    apt(_groups, vfio.VFIO_GROUP_GET_STATUS, ("u32", st.integers(0, 16)), ("u32", u32)),
    apt(_groups, vfio.VFIO_GROUP_GET_DEVICE_FD, ("hex", st.sampled_from(NAMES))),
    apt(["vm"], kvm.KVM_CREATE_DEVICE, ("u32", _flags), ("u32", u32), ("u32", _flags)),
    apt(
        ["vm"],
        kvm.KVM_SET_USER_MEMORY_REGION,
        *[("u32", _flags), ("u32", _flags), ("u64", _page), ("u64", _page), ("ptr", _page)],
    ),
    apt(
        ["kvm-device"],
        kvm.KVM_SET_DEVICE_ATTR,
        *[("u32", st.just(0)), ("u32", st.just(1)), ("u64", st.integers(0, 3))],
        ("ptr", st.sampled_from(range(len(KINDS))).map(lambda kind: FD_PAGE + 4 * kind)),
    ),
)

ioctls = call("ioctl", fds, requests, arguments)
calls = st.one_of(
    ioctls,
    apt_ioctls,
    call("open", st.sampled_from(PATHS), st.one_of(st.just(os.O_RDWR), u32.map(lambda n: n >> 1))),
    call("close", fds),
    call("dup", fds),
    call(
        "eventfd", u32, st.one_of(st.sampled_from([0, 1, os.O_NONBLOCK]), st.integers(0, 2**31 - 1))
    ),
    call("memfd_create", st.text(max_size=300), st.integers(0, 40)),
    call("ftruncate", fds, i64),
    call("read", fds, lengths),
    call("write", fds, st.binary(max_size=16)),
    call("pread", fds, lengths, i64),
    call("pwrite", fds, st.binary(max_size=16), i64),
    call("poll", fds, u32),
    call(
        "mmap",
        lengths,
        st.integers(0, 15),
        st.one_of(
            st.sampled_from([PRIVATE, MAP_SHARED, 0x32, 0x31, 0x21]), st.integers(0, 2**31 - 1)
        ),
        fds,
        lengths,
        page_addresses,
        st.one_of(st.just(0), u64),
    ),
    call("munmap", page_addresses, lengths),
    call("mprotect", page_addresses, lengths, st.integers(0, 31)),
    call("peek", addresses, lengths),
    call("poke", addresses, st.binary(max_size=16)),
    call("view", addresses, lengths),
    call("setrlimit", st.integers(0, 17), st.none() | u64, st.none() | u64),
    call("setuid", st.integers(0, 2)),
    call("fail_nth", st.integers(0, 6)),
    call("exit", st.booleans()),
)


# -- the two processes, and how a call is made


class World:
    """Two processes on one machine, with files of every kind that the machine has."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.processes: list[Process] = []
        self.memory: list[int] = []
        self.fds: list[dict[str, int]] = []
        self.views: list[memoryview] = []
        for which in range(2):
            self.start(which)

    def start(self, which: int) -> None:
        process = self.system.process()
        address = memory(process, PAGES * 4096 // process.page_size)
        fds: dict[str, int] = {}
        with contextlib.suppress(OSError):  # the other process has the groups, or all memory
            furnish(process, address, self.system.machine, fds, GROUPS[which])
        for at, kind in enumerate(KINDS):
            process.poke(address + FD_PAGE + 4 * at, self.number(fds, kind))
        self.processes.append(process)
        self.memory.append(address)
        self.fds.append(fds)

    @staticmethod
    def number(fds: dict[str, int], kind: str) -> bytes:
        return fds.get(kind, -1).to_bytes(4, "little", signed=True)

    def fd(self, which: int, fd: int | str) -> int:
        return self.fds[which].get(fd, -1) if isinstance(fd, str) else fd

    def address(self, which: int, value: Any) -> int:
        return (self.memory[which] + value[1]) % 2**64 if isinstance(value, tuple) else value

    def block(self, which: int, parts: list[tuple[str, Any]]) -> bytes:
        out = b""
        for kind, value in parts:
            match kind:
                case "u32":
                    out += value.to_bytes(4, "little")
                case "u64":
                    out += value.to_bytes(8, "little")
                case "ptr":
                    out += ((self.memory[which] + value) % 2**64).to_bytes(8, "little")
                case "fd":
                    out += self.number(self.fds[which], value)
                case _:
                    out += value
        return out

    def ioctl(self, which: int, fd: int, request: int, argument: Any) -> None:
        process = self.processes[which]
        if isinstance(request, uapi.Request) or request > 10**6 or request in _COMMON:
            number = int(request)
        else:  # one of all that there are
            known = _REQUESTS[self.system.machine.abi]
            number = known[request % len(known)]
        match argument:
            case ("block", parts, read_only):
                data = self.block(which, parts)
                process.ioctl(fd, number, data if read_only else bytearray(data))
            case ("number", value):
                process.ioctl(fd, number, self.address(which, value))
            case _:
                process.ioctl(fd, number, None)

    def make(self, name: str, which: int, arguments: tuple[Any, ...]) -> None:
        process, address = self.processes[which], functools.partial(self.address, which)
        match name, arguments:
            case "ioctl", (fd, request, argument):
                self.ioctl(which, self.fd(which, fd), request, argument)
            case "mmap", (length, protection, flags, fd, offset, at, align):
                fd = self.fd(which, fd)
                process.mmap(
                    length, protection, flags, fd, offset, address=address(at), align=align
                )
            case "munmap" | "mprotect" | "peek" | "poke", (at, *rest):
                getattr(process, name)(address(at), *rest)
            case "view", (at, length):
                self.views.append(process.view(address(at), length))
            case (
                "close" | "dup" | "ftruncate" | "poll" | "read" | "write" | "pread" | "pwrite",
                (fd, *rest),
            ):
                process.interrupt()  # no call waits for what nobody will do
                getattr(process, name)(self.fd(which, fd), *rest)
            case "setuid", (uid,):
                process.setresuid(uid, uid, uid)
            case "fail_nth", (nth,):
                process.fail_nth = nth
            case "exit", (and_calls_on,):
                process.exit()
                if not and_calls_on and len(self.processes) < 8:
                    self.start(which)
                    for kept in (self.processes, self.memory, self.fds):
                        kept[which], kept[-1] = kept[-1], kept[which]  # type: ignore[index]
            case _:
                getattr(process, name)(*arguments)

    def end(self) -> None:
        """Everything goes; nothing may be left."""
        for process in self.processes:
            process.exit()
        for process in self.processes:
            assert process.mapped_bytes == 0
            assert process.locked_vm == process.pinned_vm == 0
        self.views.clear()
        self.system.close()
        assert self.system.alive == [] or all("mm_struct" in line for line in self.system.alive)
        assert self.system.total_pins == self.system.pinned_frames == 0
        assert self.system.used_frames == 0


def furnish(
    process: Process,
    address: int,
    on: Machine,
    fds: dict[str, int],
    groups: tuple[str, bytes, str],
) -> None:
    """Opens files of every kind, as far as it can."""
    fds["eventfd"] = process.eventfd(0, os.O_NONBLOCK)
    fds["memfd"] = process.memfd_create("memfd")
    process.ftruncate(fds["memfd"], 3 * process.page_size + 1)
    fds["vm"] = vm(process, on.abi)
    fds["kvm-device"] = kvm_vfio_device(process, fds["vm"], on.abi)
    if not on.modules.vfio:
        return
    fds["empty-container"] = process.open("/dev/vfio/vfio", os.O_RDWR)
    if not on.iommus:
        return
    group, name, other = groups
    fds["container"], fds["group"] = type1(process, group)
    map_dma(process, fds["container"], 1 << 20, address, 4 * process.page_size)
    fds["device"] = device(process, fds["group"], name)
    add_file(process, fds["kvm-device"], fds["group"])
    fds["container-2"], fds["group-2"] = group_in_container(process, other)


@pytest.mark.parametrize("name", MACHINES)
@given(program=st.lists(calls, max_size=30))
def test_no_call_does_harm(name: str, program: list[tuple[str, int, tuple[Any, ...]]]) -> None:
    world = World(System(MACHINES[name]))
    for call, which, arguments in program:
        with contextlib.suppress(OSError, MemoryFault):
            world.make(call, which, arguments)
    world.end()


@given(st.lists(st.tuples(who, st.sampled_from(["dup", "close"]), st.integers(3, 20)), max_size=40))
def test_any_order_of_closing(steps: list[tuple[int, str, int]]) -> None:
    world = World(System(MACHINES["q35"]))
    for which, what, fd in steps:
        call: Callable[[int], object] = getattr(world.processes[which], what)
        with contextlib.suppress(OSError):
            call(fd)
    for process in world.processes:
        for fd in range(64):
            with contextlib.suppress(OSError):
                process.close(fd)
    # All files are closed: the groups can be opened anew, and nothing is pinned.
    assert world.system.total_pins == 0
    for group, _, other in GROUPS:
        for path in (group, other):
            world.processes[0].open(path, os.O_RDWR)
    world.end()


@given(data=st.binary(max_size=300), fd=st.integers(0, 20), request=requests)
def test_random_bytes(data: bytes, fd: int, request: int) -> None:
    world = World(System(MACHINES["q35"]))
    block = bytearray(data)
    with contextlib.suppress(OSError):
        world.ioctl(0, fd, request, ("none",))
    with contextlib.suppress(OSError):
        world.processes[0].ioctl(fd, int(request), block)
    assert len(block) == len(data)
    world.end()


def test_every_request_of_every_file_without_an_argument() -> None:
    for argument in (None, 0, 1, 2**64 - 1, b"", bytearray(8), bytearray(4096)):
        world = World(System(MACHINES["q35"]))
        process = world.processes[0]
        for request in _REQUESTS["generic"]:
            for fd in range(20):
                with contextlib.suppress(OSError):
                    process.ioctl(fd, request, argument)
        world.end()


def test_memory_that_everything_was_taken_from() -> None:
    """A process that unmaps all of its addresses still makes calls, and they touch nothing else."""
    with System(q35()) as system:
        process = system.process()
        with contextlib.suppress(OSError):
            process.ioctl(0, 1, bytearray(8))  # has memory for arguments now
        process.munmap(0, 2**47 - 4096)
        blocks = [process.mmap(65536, READ_WRITE, PRIVATE) for _ in range(4)]
        for block in blocks:
            process.poke(block, b"\xaa" * 65536)
        with contextlib.suppress(OSError):
            process.ioctl(0, 1, bytearray(8))
        assert all(process.peek(block, 65536) == b"\xaa" * 65536 for block in blocks)
