# SPDX-License-Identifier: MIT
"""Calls that were recorded are replayed without a difference, whatever made them."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
from collections.abc import Callable

import pytest

from kvmiommu import Process, System, kvm, machine, pci, spapr, vfio
from kvmiommu.errors import MemoryFault
from kvmiommu.transcript import parse, replay, symbols_of
from kvmiommu.uapi import papr, posix
from kvmiommu.uapi import vfio as v
from programs import outcome

RW = posix.PROT_READ | posix.PROT_WRITE
PRIVATE = posix.MAP_PRIVATE | posix.MAP_ANONYMOUS


def recorded(name: str, program: Callable[[Process], None]) -> str:
    """The transcript of a program on a machine, which was replayed there without a difference."""
    description = machine.load(name)
    with System(description, record=True) as system:
        program(system.process())
        text = system.transcript()
    transcript = parse(text, "recorded")
    result = replay(transcript, lambda: System(description), symbols_of(description.abi))
    assert not result.differences, (result.differences[0], text)
    assert result.answers == len(transcript.steps) > 0
    return text


def answers(text: str, word: str) -> list[str]:
    """The answers of the calls that begin with a word."""
    lines = text.splitlines()
    return [lines[at + 1] for at, line in enumerate(lines) if line.startswith(word)]


def test_a_container_a_group_and_a_device_are_replayed() -> None:
    def program(process: Process) -> None:
        ram = process.mmap(0x10000, RW, PRIVATE, align=2 << 20)
        with vfio.Container(process) as container, vfio.Group(process, 1) as group:
            group.get_status()
            outcome(container.set_iommu)
            group.set_container(container)
            container.set_iommu()
            container.get_info()
            container.map_dma(0x100000, ram, 0x4000)
            outcome(lambda: container.map_dma(0x100000, ram, 0x4000))
            outcome(lambda: container.map_dma(1, ram, 0x4000))
            container.start_dirty_pages()
            container.dirty_bitmap(0x100000, 0x4000)
            with group.get_device("0000:00:02.0") as device:
                device.get_info()
                device.region(v.VFIO_PCI_CONFIG_REGION_INDEX).read(0, 4)
                eventfd = process.eventfd(flags=posix.O_NONBLOCK)
                device.set_irqs(v.VFIO_PCI_INTX_IRQ_INDEX, 0, [eventfd])
                outcome(device.reset)
                process.poll(eventfd, posix.POLLIN)
                outcome(lambda: process.read(eventfd, 8))
                process.close(eventfd)
            container.unmap_dma(0x100000, 0x4000, bitmap=4096)
            container.stop_dirty_pages()
        process.munmap(ram, 0x10000)

    text = recorded("q35-intel", program)
    assert "open container /dev/vfio/vfio O_RDWR" in text
    assert "ioctl group VFIO_GROUP_SET_CONTAINER fd:container" in text
    assert "ioctl container VFIO_SET_IOMMU val:VFIO_TYPE1v2_IOMMU" in text
    assert "u32:3 ptr:buf u64:0x100000 u64:0x4000" in text
    assert "ioctl group VFIO_GROUP_GET_DEVICE_FD str:0000:00:02.0 -> device" in text
    assert "# not recorded" not in text


def test_a_virtual_machine_and_its_devices_are_replayed() -> None:
    def program(process: Process) -> None:
        with kvm.Kvm(process) as module, module.create_vm() as vm:
            ram = process.mmap(0x4000, RW, PRIVATE)
            vm.set_user_memory_region(0, 0, ram, 0x4000)
            with vm.create_device(4) as device, vfio.Group(process, 1) as group:
                device.add_file(group.fd)
                outcome(lambda: device.add_file(group.fd))
                device.del_file(group.fd)
            vm.can_create_device(4)

    text = recorded("q35-intel", program)
    assert "bind kvmdevice 4" in text
    assert text.count("poke buf2 fd:group\n  = ok") == 1


@pytest.mark.parametrize("name", ["powernv9", "pseries-4k"])
def test_a_guest_and_its_hypercalls_are_replayed(name: str) -> None:
    def program(process: Process) -> None:
        size = 1 << 20
        ram = process.mmap(size, RW, PRIVATE)
        with kvm.Kvm(process) as module, module.create_vm() as vm:
            vm.create_spapr_tce(0x80000001, page_shift=16, size=0x100)
            with kvm.Guest(vm, ram, size) as guest:
                assert guest.hcall(papr.H_PUT_TCE, 0x80000001, 0x30000, 0x10003) is not None
                guest.hcall(papr.H_GET_TCE, 0x80000001, 0x30000)
                guest.hcall(papr.H_PUT_TCE, 0x80000002, 0, 3)

    text = recorded(name, program)
    assert "queue vcpu H_PUT_TCE 0x80000001 0x30000 0x10003" in text
    assert answers(text, "answers vcpu")[0] == "  = 1"


def test_windows_of_tces_are_replayed() -> None:
    def program(process: Process) -> None:
        ram = process.mmap(1 << 20, RW, PRIVATE)
        with spapr.SpaprContainer(process) as container, vfio.Group(process, 1) as group:
            group.set_container(container)
            container.set_iommu()
            container.get_spapr_info()
            outcome(lambda: container.remove_window(0))
            start = container.create_window(page_shift=16, size=1 << 28)
            container.register_memory(ram, 1 << 20)
            container.map_dma(start, ram, 1 << 16)
            container.unmap_dma(start, 1 << 16)
            container.unregister_memory(ram, 1 << 20)

    text = recorded("powernv9", program)
    assert "VFIO_IOMMU_SPAPR_REGISTER_MEMORY" in text
    assert "VFIO_IOMMU_DIRTY_PAGES" not in text


def test_memory_keeps_its_name_when_it_is_unmapped() -> None:
    def program(process: Process) -> None:
        memory = process.mmap(0x3000, RW, PRIVATE)
        outcome(lambda: process.munmap(memory + 1, 0x1000))
        process.munmap(memory + 0x1000, 0x1000)
        with pytest.raises(MemoryFault):
            process.peek(memory + 0x1000, 4)
        process.munmap(memory, 0x3000)
        with pytest.raises(MemoryFault):
            process.poke(memory + 8, b"late")
        with vfio.Container(process) as container, vfio.Group(process, 1) as group:
            group.set_container(container)
            container.set_iommu()
            outcome(lambda: container.map_dma(0x100000, memory, 0x1000))

    text = recorded("q35-intel", program)
    assert answers(text, "peek buf+0x1000 4") == ["  = SIGSEGV"]
    assert answers(text, "poke buf+0x8 hex:") == ["  = SIGSEGV"]
    assert "u32:3 ptr:buf u64:0x100000 u64:0x1000" in text
    assert "0x7" not in text


def test_the_groups_of_a_hot_reset_have_names() -> None:
    def program(process: Process) -> None:
        with vfio.Container(process) as container, vfio.Group(process, 3) as group:
            group.set_container(container)
            container.set_iommu()
            with group.get_device("0000:02:01.0") as device:
                outcome(lambda: device.hot_reset([group]))

    assert re.search(
        r"VFIO_DEVICE_PCI_HOT_RESET u32:\S+ u32:0 u32:1 fd:group", recorded("q35-intel", program)
    )


def test_a_close_that_is_refused_leaves_the_name() -> None:
    with System("q35-intel", record=True) as system:
        process, other = system.process(), system.process()
        mine, theirs = vfio.Container(process), vfio.Container(other)
        assert mine.fd == theirs.fd
        with pytest.raises(ValueError, match="process"):
            process.close(theirs)
        mine.get_api_version()
        assert "ioctl container VFIO_GET_API_VERSION" in system.transcript()


def test_bytes_that_could_be_a_descriptor_are_bytes() -> None:
    def program(process: Process) -> None:
        memory = process.mmap(0x1000, RW, PRIVATE)
        with vfio.Container(process) as container, vfio.Group(process, 1) as group:
            group.set_container(container)
            container.set_iommu()
            with group.get_device("0000:00:02.0") as device:
                number = device.fd.to_bytes(4, "little")
                process.poke(memory, number)
                process.pwrite(device.fd, number, (v.VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4)
                outcome(lambda: process.write(device.fd, number))

    text = recorded("q35-intel", program)
    assert "fd:device" not in text
    assert text.count("hex:05000000") >= 3


def test_threads_have_names_of_their_own() -> None:
    def work(process: Process) -> None:
        for _ in range(150):
            eventfd = process.eventfd()
            process.poll(eventfd, posix.POLLIN)
            process.close(eventfd)
            memory = process.mmap(0x1000, RW, PRIVATE)
            process.poke(memory, b"mine")
            process.munmap(memory, 0x1000)

    def program(process: Process) -> None:
        threads = [threading.Thread(target=work, args=(process,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        text = recorded("q35-intel", program)
    finally:
        sys.setswitchinterval(interval)
    made = re.findall(r"^(?:eventfd|mmap) (\w+)", text, re.MULTILINE)
    assert len(made) == len({*made}) == 6 * 150 * 2
    assert not re.search(r"^(poll|close|poke|unmem) [0-9]", text, re.MULTILINE)


def test_plain_calls_are_replayed() -> None:
    def program(process: Process) -> None:
        memfd = process.memfd_create("ram")
        process.ftruncate(memfd, 0x3000)
        address = process.mmap(0x2000, RW, posix.MAP_SHARED, memfd)
        process.poke(address + 8, b"hello")
        assert process.peek(address + 8, 5) == b"hello"
        process.poke(address, (address + 0x1000).to_bytes(8, "little"))
        process.ftruncate(memfd, 0)
        with pytest.raises(MemoryFault):
            process.peek(address, 1)
        copy = process.dup(memfd)
        process.mprotect(address, 0x1000, posix.PROT_READ)
        outcome(lambda: process.open("/dev/vfio/99", os.O_RDWR | os.O_CLOEXEC))
        process.setrlimit(8, 0, 0)
        process.setresuid(1000, 1000, 1000)
        process.status("VmLck")
        counter = process.eventfd(5)
        process.write(counter, (3).to_bytes(8, "little"))
        assert process.read(counter, 8) == (8).to_bytes(8, "little")
        process.close(copy)
        outcome(lambda: process.close(copy))
        process.munmap(address, 0x2000)

    text = recorded("q35-intel", program)
    assert answers(text, "open group") == ["  = -ENOENT"]
    assert "ptr:memfdmap+0x1000" in text
    assert "O_RDWR|O_CLOEXEC" in text
    assert answers(text, "peek")[1] == "  = SIGBUS"


def test_an_allocation_that_is_to_fail_is_replayed() -> None:
    def program(process: Process) -> None:
        ram = process.mmap(0x4000, RW, PRIVATE)
        with vfio.Container(process) as container, vfio.Group(process, 1) as group:
            group.set_container(container)
            container.set_iommu()
            process.fail_nth = 1
            assert outcome(lambda: container.map_dma(0, ram, 0x1000)) == -errno.ENOMEM

    assert "fail 1" in recorded("q35-intel", program)


def test_what_a_transcript_cannot_say_is_a_comment() -> None:
    with System("q35-intel", record=True, models={"0000:00:05.0": pci.DeviceModel}) as system:
        first, second = system.process(), system.process()
        first.status("VmLck")
        second.eventfd()
        first.setrlimit(7, 10, 20)
        ram = first.mmap(0x1000, RW, PRIVATE)
        first.poke(ram, ram.to_bytes(8, "little"))
        first.peek(ram, 8)
        first.view(ram, 0x1000).release()
        with pytest.raises(TimeoutError):
            first.read(first.eventfd(), 8, timeout=0)
        text = system.transcript()
    comments = [line for line in text.splitlines() if line.startswith("# not recorded:")]
    for part in (
        "0000:00:05.0",
        "process 2: eventfd eventfd = ok",
        "setrlimit(7, 10, 20)",
        "peek buf 8: what was read has an address in it",
        "a view of 0x1000 bytes of buf",
        "read eventfd 8: raised TimeoutError",
    ):
        assert any(part in line for line in comments), (part, comments)
    parse(text)


def test_an_argument_that_python_gave_is_written_back() -> None:
    with System("q35-intel", record=True) as system:
        process = system.process()
        group = process.open("/dev/vfio/1", os.O_RDWR)
        status = v.vfio_group_status(argsz=8)
        process.ioctl(group, v.VFIO_GROUP_GET_STATUS, status)
        assert status.flags == v.VFIO_GROUP_FLAGS_VIABLE
        process.ioctl(group, v.VFIO_GROUP_GET_STATUS, bytes(v.vfio_group_status(argsz=8)))


def test_a_machine_that_records_nothing_says_how_to_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kvmiommu.system.observers", [])  # the plugin records
    with System("q35-intel") as system:
        assert type(system.process()) is Process
        with pytest.raises(ValueError, match="record=True"):
            system.transcript()


def test_what_nobody_asked_to_record_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Records:
        records = True

        def made(self, system: System) -> None: ...
        def closing(self, system: System) -> None: ...

    monkeypatch.setattr("kvmiommu.system.observers", [Records()])
    monkeypatch.setattr("kvmiommu.system.MOST_OBSERVED", 3)
    with System() as seen, System(record=True) as asked:
        for system in (seen, asked):
            process = system.process()
            for _ in range(9):
                process.eventfd()
        assert seen.transcript().count("eventfd eventfd") == 3
        assert "# not recorded: the calls that follow" in seen.transcript()
        assert asked.transcript().count("eventfd eventfd") == 9
        parse(seen.transcript())
