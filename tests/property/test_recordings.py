# SPDX-License-Identifier: MIT
"""Whatever calls a process makes, their recording is replayed without a difference."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import Process, System, machine
from kvmiommu.errors import MemoryFault
from kvmiommu.transcript import parse, replay, symbols_of
from kvmiommu.uapi import Abi, Request, kvm, papr, posix, vfio

MACHINES = {name: machine.load(name) for name in ("q35-intel", "q35-virtio", "powernv9-4k")}
REQUESTS = [
    request
    for module in (vfio, kvm)
    for request in vars(module).values()
    if isinstance(request, Request)
]
PATHS = ("/dev/vfio/vfio", "/dev/vfio/1", "/dev/vfio/3", "/dev/kvm", "/dev/null", "/dev/nothing")
DEVICES = (
    b"0000:00:02.0\0",
    b"0001:01:00.0\0",
    b"0000:02:01.0\0",
    b"0000:99:00.0\0",
    b"x y\0",
    b"",
)

# Descriptors and mappings are given by index, so that shrinking finds those that are there.
indexes = st.integers(0, 7)
pages = st.integers(0, 4)
numbers = st.sampled_from([0, 1, 2, 3, 4, 8, 0x1000, 0x10000, 1 << 20, (1 << 64) - 4096])
Action = Callable[["Program"], Any]


class Program:
    """A process with the descriptors and the memory that it has made."""

    def __init__(self, process: Process, abi: Abi) -> None:
        self.process = process
        self.abi = abi
        self.fds = [-1]
        self.memory = [process.mmap(0x10000, 3, 0x22), 0]

    def fd(self, index: int) -> int:
        return self.fds[index % len(self.fds)]

    def address(self, index: int) -> int:
        return self.memory[index % len(self.memory)]

    def perform(self, action: Action) -> None:
        with contextlib.suppress(OSError, MemoryFault):
            action(self)


def makes_fd(call: Callable[[Program], int]) -> Action:
    return lambda program: program.fds.append(call(program))


@st.composite
def blocks(draw: st.DrawFn) -> Callable[[Program, Request], bytearray]:
    """An argument of a request: fields of all sorts, addresses and descriptors among them."""
    words = draw(st.lists(st.tuples(st.integers(0, 3), indexes, numbers), max_size=6))
    cut = draw(st.sampled_from([0, 0, 0, 1, 4]))

    def make(program: Program, request: Request) -> bytearray:
        kind = request.argument
        length = ctypes.sizeof(kind) if kind is not None else 8
        data = bytearray()
        for which, index, number in words:
            value = (number, program.address(index), program.fd(index), index)[which]
            data += (value & (1 << 64) - 1).to_bytes(8, "little")
        data = data[:length].ljust(length, b"\0")
        if request.type == vfio.VFIO_TYPE and length >= 8:
            data[:4] = length.to_bytes(4, "little")
            data[4:8] = (words[0][1] if words else 0).to_bytes(4, "little")
        return data[: len(data) - cut]

    return make


@st.composite
def ioctls(draw: st.DrawFn) -> Action:
    request, index = draw(st.sampled_from(REQUESTS)), draw(indexes)
    argument: Any = draw(st.one_of(st.none(), numbers, blocks(), st.sampled_from(DEVICES)))

    def act(program: Program) -> None:
        given_argument = argument(program, request) if callable(argument) else argument
        value = program.process.ioctl(
            program.fd(index), request.number(program.abi), given_argument
        )
        if value > 2:
            program.fds.append(value)

    return act


@st.composite
def set_ups(draw: st.DrawFn) -> Action:
    """A container with a group, a driver and a mapping, which chance alone seldom finds."""
    path, iova, size = draw(st.sampled_from(PATHS[1:3])), draw(numbers), draw(pages)
    index = draw(indexes)

    def act(program: Program) -> None:
        process, abi = program.process, program.abi
        container, group = process.open(PATHS[0], 2), process.open(path, 2)
        program.fds += [container, group]
        set_container = vfio.VFIO_GROUP_SET_CONTAINER.number(abi)
        process.ioctl(group, set_container, ctypes.c_int32(container))
        driver = vfio.VFIO_TYPE1v2_IOMMU if abi == "generic" else vfio.VFIO_SPAPR_TCE_v2_IOMMU
        process.ioctl(container, vfio.VFIO_SET_IOMMU.number(abi), driver)
        program.fds.append(
            process.ioctl(group, vfio.VFIO_GROUP_GET_DEVICE_FD.number(abi), DEVICES[0])
        )
        block = vfio.vfio_iommu_type1_dma_map(
            argsz=32, flags=3, vaddr=program.address(index), iova=iova, size=size << 12
        )
        process.ioctl(container, vfio.VFIO_IOMMU_MAP_DMA.number(abi), block)

    return act


@st.composite
def maps(draw: st.DrawFn) -> Action:
    length = draw(st.sampled_from([0x1000, 0x3000, 0x10000, 0]))
    prot = draw(st.sampled_from([1, 3, 3, 3, 0]))
    flags, index = draw(st.sampled_from([0x22, 0x21, 1, 2])), draw(indexes)
    align = draw(st.sampled_from([0, 2 << 20]))

    def act(program: Program) -> None:
        file = -1 if flags & posix.MAP_ANONYMOUS else program.fd(index)
        program.memory.append(
            program.process.mmap(
                length, prot, flags, file, align=align if flags & posix.MAP_ANONYMOUS else 0
            )
        )

    return act


def hypercall(index: int, number: int, arguments: list[int]) -> Action:
    def act(program: Program) -> None:
        fd = program.fd(index)
        with contextlib.suppress(ValueError):  # it is no vcpu's
            program.process._queue_hypercalls(fd, [[number, *arguments]])
            program.perform(lambda it: it.process.ioctl(fd, kvm.KVM_RUN.number(it.abi)))
            program.process._take_hypercall_answers(fd)

    return act


actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(
        lambda path, flags: makes_fd(lambda it: it.process.open(path, flags)),
        st.sampled_from(PATHS),
        st.sampled_from([0, 2, 2, 2, 0o2000002, 1 << 30]),
    ),
    st.builds(lambda at: lambda it: it.process.close(it.fd(at)), indexes),
    st.builds(lambda at: makes_fd(lambda it: it.process.dup(it.fd(at))), indexes),
    st.builds(lambda n: makes_fd(lambda it: it.process.eventfd(n, 0o4000)), st.integers(0, 3)),
    st.just(makes_fd(lambda it: it.process.memfd_create("m"))),
    st.builds(
        lambda at, size: lambda it: it.process.ftruncate(it.fd(at), size << 12), indexes, pages
    ),
    st.builds(
        lambda at, length, offset: lambda it: it.process.pread(it.fd(at), length, offset),
        indexes,
        st.integers(0, 9),
        st.sampled_from([0, 4, 7 << 40, (7 << 40) + 4, -1]),
    ),
    st.builds(
        lambda at, data, offset: lambda it: it.process.pwrite(it.fd(at), data, offset),
        indexes,
        st.binary(max_size=9),
        st.sampled_from([0, 4, 7 << 40, (7 << 40) + 4, -1]),
    ),
    st.builds(lambda at, data: lambda it: it.process.write(it.fd(at), data), indexes, st.binary()),
    st.builds(lambda at: lambda it: it.process.read(it.fd(at), 8, timeout=0), indexes),
    st.builds(lambda at, events: lambda it: it.process.poll(it.fd(at), events), indexes, indexes),
    st.builds(
        lambda at, page, data: lambda it: it.process.poke(it.address(at) + page * 0x1000, data),
        indexes,
        pages,
        st.binary(min_size=1, max_size=20),
    ),
    st.builds(
        lambda at, to: (
            lambda it: it.process.poke(it.address(at), it.address(to).to_bytes(8, "little"))
        ),
        indexes,
        indexes,
    ),
    st.builds(
        lambda at, page: lambda it: it.process.peek(it.address(at) + page * 0x1000, 16),
        indexes,
        pages,
    ),
    st.builds(
        lambda at, size: lambda it: it.process.munmap(it.address(at), size << 12), indexes, pages
    ),
    st.builds(
        lambda at, size, prot: lambda it: it.process.mprotect(it.address(at), size << 12, prot),
        indexes,
        pages,
        st.integers(0, 3),
    ),
    st.builds(lambda nth: lambda it: setattr(it.process, "fail_nth", nth), st.integers(0, 4)),
    st.builds(
        lambda n: lambda it: it.process.setrlimit(8, n, n), st.sampled_from([0, 1 << 20, None])
    ),
    st.builds(lambda n: lambda it: it.process.setresuid(n, n, n), st.sampled_from([0, 7])),
    st.builds(lambda key: lambda it: it.process.status(key), st.sampled_from(["VmLck", "VmPin"])),
    st.builds(
        hypercall,
        indexes,
        st.sampled_from([papr.H_PUT_TCE, papr.H_GET_TCE, papr.H_STUFF_TCE, 0x500]),
        st.lists(numbers, max_size=5),
    ),
    maps(),
    ioctls(),
    set_ups(),
)


@given(st.sampled_from(sorted(MACHINES)), st.lists(actions, max_size=30))
def test_a_random_program_is_replayed_without_a_difference(
    name: str, program: list[Action]
) -> None:
    description = MACHINES[name]
    with System(description, record=True) as system:
        running = Program(system.process(), description.abi)
        for action in program:
            running.perform(action)
        text = system.transcript()
    transcript = parse(text, "recorded")
    result = replay(transcript, lambda: System(description), symbols_of(description.abi))
    assert not result.differences, (result.differences[0], text)
