# SPDX-License-Identifier: MIT
"""Machines as a whole: side by side, their trace, their end, failures tried one after the other."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator

import pytest

import kvmiommu
from kvmiommu import Process, System, machine
from kvmiommu.uapi import kvm, vfio
from programs import (
    DEVICE,
    GROUP,
    add_file,
    bare,
    device,
    kvm_vfio_device,
    map_dma,
    memory,
    outcome,
    q35,
    type1,
    unmap_dma,
    vm,
)


@pytest.fixture
def system() -> Iterator[System]:
    with System() as running:
        yield running


# -- beginning and end


def test_a_machine_by_name_path_or_description(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "mine.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(q35().text())
    for given in ("q35-intel", path, machine.load("q35-intel")):
        with System(given) as system:
            assert system.machine.name == system.name == "q35-intel"
            assert repr(system) == "<System q35-intel>"


def test_an_unknown_machine_is_an_error_that_helps() -> None:
    with pytest.raises(machine.MachineError, match="q35-intel"):
        System("q35-intle")


def test_closing_ends_every_process(system: System) -> None:
    processes = [system.process() for _ in range(3)]
    for process in processes:
        process.memfd_create("kept")
        memory(process, 4)
    container, _ = type1(processes[0])
    map_dma(processes[0], container, 0, memory(processes[0]), 4096)
    system.close()
    assert system.used_frames == system.total_pins == 0
    assert [process.mapped_bytes for process in processes] == [0, 0, 0]
    for call in (
        lambda: processes[0].open("/dev/null", os.O_RDWR),
        lambda: processes[0].ioctl(container, vfio.VFIO_GET_API_VERSION),
        lambda: processes[0].mmap(4096, 3, 0x22),
        lambda: processes[0].read(0, 8),
        system.process,
    ):
        with pytest.raises(OSError, match=r".+"):
            call()
    system.close()  # again is no error


def test_an_error_in_the_block_is_the_one_that_is_seen() -> None:
    with pytest.raises(ZeroDivisionError), System() as system:  # noqa: PT012 - the block is the test
        type1(system.process())
        raise ZeroDivisionError


def test_a_process_that_nobody_has_any_more_has_exited(system: System) -> None:
    process = system.process()
    type1(process)
    del process
    assert system.alive == []
    assert system.used_frames == 0
    type1(system.process())  # the group is free again


# -- nothing is shared


def test_two_systems_share_nothing() -> None:
    with System() as one, System(q35(memory="1G")) as other:
        first, second = one.process(), other.process()
        for process in (first, second):
            container, _ = type1(process)
            map_dma(process, container, 0, memory(process), 4096)
        one.close()
        assert (one.total_pins, other.total_pins) == (0, 1)
        # An address of one machine is none of the other's.
        address = memory(second)
        third = other.process()
        with pytest.raises(kvmiommu.MemoryFault):
            third.peek(address, 1)
        assert outcome(lambda: third.open(GROUP, os.O_RDWR)) == -errno.EBUSY


def test_threads_of_one_system() -> None:
    with System() as system:
        failures: list[BaseException] = []

        def work(group: str, name: bytes) -> None:
            try:
                for _ in range(40):
                    process = system.process()
                    container = process.open("/dev/vfio/vfio", os.O_RDWR)
                    group_fd = process.open(group, os.O_RDWR)
                    block = ctypes.c_int32(container)
                    process.ioctl(group_fd, vfio.VFIO_GROUP_SET_CONTAINER, block)
                    process.ioctl(container, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU)
                    address = memory(process, 8)
                    for at in range(8):
                        map_dma(process, container, at << 12, address + (at << 12), 4096)
                    device(process, group_fd, name)
                    assert unmap_dma(process, container, 0, 4096 * 8) == 4096 * 8
                    process.exit()
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=work, args=arguments)
            for arguments in ((GROUP, DEVICE), ("/dev/vfio/4", b"0000:00:05.0\0"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert system.used_frames == system.total_pins == 0


def test_threads_of_one_process(system: System) -> None:
    process = system.process()
    counter = process.eventfd(0, os.O_NONBLOCK)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(200):
                block = bytearray(b"\x08" + bytes(7))
                assert outcome(lambda: process.ioctl(counter, 1, block)) == -errno.ENOTTY  # noqa: B023
                process.write(counter, (1).to_bytes(8, "little"))
                process.munmap(memory(process), 4096)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert int.from_bytes(process.read(counter, 8), "little") == 800


# -- trace


def test_the_trace_keeps_the_last_calls_and_why_they_failed(system: System) -> None:
    system.keep_trace(0)  # the plugin keeps some
    process = system.process()
    process.poll(0, 1)
    assert system.trace() == []
    system.keep_trace(3)
    process.poll(0, 1)
    process.dup(0)
    process.close(3)
    outcome(lambda: process.ioctl(7, vfio.VFIO_GET_API_VERSION, 5))
    records = system.trace()
    assert [record.call for record in records] == ["dup", "close", "ioctl"]
    assert [record.sequence for record in records] == [1, 2, 3]
    last = records[-1]
    assert last.arguments == (7, vfio.VFIO_GET_API_VERSION, 5)
    assert last.result == -errno.EBADF
    assert last.refusal is not None
    assert last.refusal.removeprefix("EBADF: ") in str(last)
    assert "ioctl(7, VFIO_GET_API_VERSION, 0x5) = -1 EBADF (Bad file" in str(last)
    assert records[0].refusal is None
    assert records[0].result == 3
    system.keep_trace(0)
    process.poll(0, 1)
    assert system.trace() == []


@pytest.mark.parametrize("records", [-1, 2**62, 2**64, "many", None])
def test_a_trace_that_cannot_be_kept(system: System, records: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, MemoryError)):
        system.keep_trace(records)  # type: ignore[arg-type]
    assert system.trace() == []


# -- what a failed allocation leaves behind


def _map(process: Process) -> None:
    container, _ = type1(process)
    address = memory(process, 600)
    map_dma(process, container, 0x1FF000, address, 600 * 4096)


def _replay(process: Process) -> None:
    """A second group that needs the mappings of the first."""
    container, _ = type1(process)
    address = memory(process, 4)
    map_dma(process, container, 0, address, 4 * 4096)
    group = process.open("/dev/vfio/4", os.O_RDWR)
    process.ioctl(group, vfio.VFIO_GROUP_SET_CONTAINER, ctypes.c_int32(container))


def _device(process: Process) -> None:
    _, group = type1(process)
    device(process, group)


def _kvm(process: Process) -> None:
    _, group = type1(process)
    add_file(process, kvm_vfio_device(process, vm(process)), group)


@pytest.mark.parametrize("scenario", [_map, _replay, _device, _kvm])
def test_each_allocation_in_turn_fails(system: System, scenario: Callable[[Process], None]) -> None:
    before = (system.used_frames, system.pinned_frames, system.total_pins)
    for nth in range(1, 200):
        process = system.process()
        process.fail_nth = nth
        refusal = None
        try:
            scenario(process)
        except OSError as error:
            refusal = error
        met = process.fail_nth == 0
        for fd in range(3, 64):
            outcome(lambda: process.close(fd))  # noqa: B023
        assert process.status("VmLck") == process.status("VmPin") == 0
        assert (system.pinned_frames, system.total_pins) == before[1:]
        process.exit()
        assert (system.used_frames, system.pinned_frames, system.total_pins) == before
        if not met:
            assert refusal is None
            assert nth > 1, "the scenario meets no point that can fail"
            return
        assert refusal is not None, f"the failure of point {nth} went unseen"
        assert refusal.errno == errno.ENOMEM
        assert "told to fail" in refusal.reason  # type: ignore[attr-defined]
    pytest.fail("the scenario never came to its end")


def test_a_failed_map_leaves_nothing_mapped(system: System) -> None:
    process = system.process()
    container, _ = type1(process)
    address = memory(process, 4)
    nth = 0
    while True:
        nth += 1
        process.fail_nth = nth
        answer = outcome(lambda: map_dma(process, container, 1 << 30, address, 4 * 4096))
        if answer is None:
            break
        assert answer == -errno.ENOMEM
        assert system.total_pins == process.status("VmLck") == 0
        assert unmap_dma(process, container, 0, 0, vfio.VFIO_DMA_UNMAP_FLAG_ALL) == 0
    assert nth > 1
    process.fail_nth = 0
    assert system.total_pins == 4
    assert process.status("VmLck") == 16


# -- other machines


def test_without_vfio_kvm_has_its_device_and_takes_no_file() -> None:
    with System(bare(vfio=False)) as system:
        process = system.process()
        assert outcome(lambda: process.open("/dev/vfio/vfio", os.O_RDWR)) == -errno.ENOENT
        kvm_device = kvm_vfio_device(process, vm(process))
        with pytest.raises(OSError, match="VFIO") as refused:
            add_file(process, kvm_device, process.eventfd())
        assert refused.value.errno == errno.EINVAL


def test_without_kvm_there_is_no_node() -> None:
    with System(bare(kvm=False)) as system, pytest.raises(FileNotFoundError):
        system.process().open("/dev/kvm", os.O_RDWR)


def test_kvm_takes_a_group(system: System) -> None:
    process = system.process()
    _, group = type1(process)
    kvm_device = kvm_vfio_device(process, vm(process))
    add_file(process, kvm_device, group)
    assert outcome(lambda: add_file(process, kvm_device, group)) == -errno.EEXIST
    attribute = kvm.kvm_device_attr(group=kvm.KVM_DEV_VFIO_FILE, attr=kvm.KVM_DEV_VFIO_FILE_DEL)
    assert outcome(lambda: process.ioctl(kvm_device, kvm.KVM_SET_DEVICE_ATTR, attribute)) == (
        -errno.EFAULT
    )


@pytest.mark.parametrize(
    ("fixed", "unmapped"), [((), 0), (("type1-unmap-to-the-last-byte",), 4096)]
)
def test_a_bug_that_is_fixed(fixed: tuple[str, ...], unmapped: int) -> None:
    with System(q35(fixed=fixed)) as system:
        process = system.process()
        container, _ = type1(process)
        last = 2**48 - 4096
        map_dma(process, container, last, memory(process), 4096)
        assert unmap_dma(process, container, last, 2**64 - last) == unmapped


@pytest.mark.parametrize(("arch", "page_size"), [("ppc64le", "64K"), ("aarch64", "64K")])
def test_pages_of_64_kib(arch: str, page_size: str) -> None:
    with System(bare(arch, page_size)) as system:
        process = system.process()
        assert process.page_size == 65536
        address = memory(process)
        assert process.mapped_bytes == 65536
        assert outcome(lambda: process.munmap(address + 4096, 4096)) == -errno.EINVAL
        process.munmap(address, 4096)  # all of the page goes
        assert process.mapped_bytes == 0
