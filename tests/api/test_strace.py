# SPDX-License-Identifier: MIT
"""Calls, requests, flags, errors and hypercalls are shown as strace shows them."""

from __future__ import annotations

import ctypes
import os

import pytest

from kvmiommu import System, TraceRecord, kvm, strace, vfio
from kvmiommu.uapi import Request, kvm_2013, papr, posix
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi import vfio as v

CONTAINER, GROUP, DEVICE = "/dev/vfio/vfio", "/dev/vfio/N", "vfio-device"


@pytest.mark.parametrize(
    ("request_", "abi", "file", "name"),
    [
        (v.VFIO_IOMMU_MAP_DMA, "generic", CONTAINER, "VFIO_IOMMU_MAP_DMA"),
        (v.VFIO_IOMMU_GET_INFO, "generic", CONTAINER, "VFIO_IOMMU_GET_INFO"),
        (v.VFIO_IOMMU_GET_INFO, "power", CONTAINER, "VFIO_IOMMU_SPAPR_TCE_GET_INFO"),
        (v.VFIO_IOMMU_GET_INFO, "generic", DEVICE, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO"),
        (v.VFIO_IOMMU_DIRTY_PAGES, "generic", CONTAINER, "VFIO_IOMMU_DIRTY_PAGES"),
        (v.VFIO_IOMMU_DIRTY_PAGES, "power", CONTAINER, "VFIO_IOMMU_SPAPR_REGISTER_MEMORY"),
        (v.VFIO_IOMMU_DIRTY_PAGES, "generic", DEVICE, "VFIO_DEVICE_FEATURE"),
        (v.VFIO_GROUP_GET_STATUS, "generic", GROUP, "VFIO_GROUP_GET_STATUS"),
        (v.VFIO_GROUP_GET_STATUS, "generic", "/dev/vfio/7", "VFIO_GROUP_GET_STATUS"),
        (k.KVM_SET_DEVICE_ATTR, "generic", "kvm-device", "KVM_SET_DEVICE_ATTR"),
        (k.KVM_SET_REGS, "power", "kvm-vcpu", "KVM_SET_REGS"),
        # A request that is another file's keeps its name.
        (v.VFIO_GROUP_GET_STATUS, "generic", CONTAINER, "VFIO_GROUP_GET_STATUS"),
        (
            kvm_2013.KVM_CREATE_SPAPR_TCE_IOMMU,
            "power",
            "kvm-vm",
            "KVM_PPC_CONFIGURE_V3_MMU or KVM_CREATE_SPAPR_TCE_IOMMU",
        ),
    ],
)
def test_a_request_has_the_name_that_it_has_on_that_file(
    request_: Request, abi: strace.Abi, file: str, name: str
) -> None:
    assert strace.request_name(request_.number(abi), abi, file) == name


def test_a_number_that_may_be_several_requests_shows_all_of_them() -> None:
    assert strace.request_name(0x3B70) == (
        "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO or VFIO_IOMMU_GET_INFO or VFIO_IOMMU_SPAPR_TCE_GET_INFO"
    )


def test_a_number_without_a_name_is_taken_apart() -> None:
    assert strace.request_name(0x40081234) == "_IOC(_IOC_WRITE, 0x12, 0x34, 0x8)"
    assert strace.request_name(0x80081234, "power") == "_IOC(_IOC_WRITE, 0x12, 0x34, 0x8)"


@pytest.mark.parametrize("abi", ["generic", "power"])
def test_every_request_is_among_the_names_of_its_number(abi: strace.Abi) -> None:
    for module in (v, k, kvm_2013):
        for name, value in vars(module).items():
            if isinstance(value, Request):
                assert name in strace.request_names(value.number(abi), abi)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "PROT_READ"),
        (3, "PROT_READ|PROT_WRITE"),
        (0x23, "PROT_READ|PROT_WRITE|0x20"),
        (0x20, "0x20 /* PROT_??? */"),
    ],
)
def test_flags_are_joined_and_the_rest_is_hex(value: int, text: str) -> None:
    assert strace.flags_text(value, "PROT_*") == text


def test_an_error_has_its_name_and_its_text() -> None:
    assert strace.error_text(2) == strace.error_text(-2) == "ENOENT (No such file or directory)"


@pytest.mark.parametrize(
    ("number", "arguments", "r3", "r4", "text"),
    [
        (
            papr.H_PUT_TCE,
            (0x80000001, 0, 3),
            0,
            None,
            "H_PUT_TCE(0x80000001, 0, 0x3) = H_SUCCESS",
        ),
        (papr.H_GET_TCE, (1, 0x1000), 0, 0x10003, "H_GET_TCE(0x1, 0x1000) = H_SUCCESS, 0x10003"),
        (papr.H_STUFF_TCE, (), (1 << 64) - 4, 9, "H_STUFF_TCE() = H_PARAMETER"),
        (0x500, (), None, None, "0x500() = exit"),
        (papr.H_PUT_TCE, (), 9999, None, "H_PUT_TCE() = H_TOO_HARD"),
    ],
)
def test_a_hypercall_is_shown_by_names(
    number: int, arguments: tuple[int, ...], r3: int | None, r4: int | None, text: str
) -> None:
    assert strace.hypercall_text(number, arguments, r3, r4) == text


def ioctl(request: Request, file: str, before: bytes, after: bytes | None = None) -> str:
    return strace.call_text("ioctl", (5, request, 0x7000), file=file, before=before, after=after)


def test_an_argument_block_is_shown_by_its_fields() -> None:
    block = v.vfio_iommu_type1_dma_map(argsz=32, flags=3, vaddr=0x7F00, iova=0x100000, size=0x1000)
    assert ioctl(v.VFIO_IOMMU_MAP_DMA, CONTAINER, bytes(block)) == (
        "ioctl(5, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=VFIO_DMA_MAP_FLAG_READ|"
        "VFIO_DMA_MAP_FLAG_WRITE, vaddr=0x7f00, iova=0x100000, size=0x1000})"
    )


def test_a_field_that_the_call_changed_shows_both() -> None:
    before = v.vfio_iommu_type1_dma_unmap(argsz=24, iova=0x1000, size=0x2000)
    after = v.vfio_iommu_type1_dma_unmap(argsz=24, iova=0x1000, size=0x1000)
    assert "size=0x2000 => 0x1000" in ioctl(
        v.VFIO_IOMMU_UNMAP_DMA, CONTAINER, bytes(before), bytes(after)
    )


def test_what_follows_a_structure_is_shown_too() -> None:
    head = v.vfio_irq_set(argsz=28, flags=0x24, index=1, count=2)
    fds = (5).to_bytes(4, "little") + b"\xff" * 4
    assert "count=2, data=[5, -1]}" in ioctl(v.VFIO_DEVICE_SET_IRQS, DEVICE, bytes(head) + fds)
    get = v.vfio_iommu_type1_dirty_bitmap_get(iova=0x1000, size=0x2000)
    get.bitmap.pgsize = 4096
    dirty = v.vfio_iommu_type1_dirty_bitmap(argsz=48, flags=4)
    shown = ioctl(v.VFIO_IOMMU_DIRTY_PAGES, CONTAINER, bytes(dirty) + bytes(get))
    assert "{iova=0x1000, size=0x2000, bitmap={pgsize=0x1000, size=0, data=0}}" in shown


@pytest.mark.parametrize(
    ("request_", "file", "argument", "text"),
    [
        (v.VFIO_GROUP_GET_DEVICE_FD, GROUP, b"0000:00:02.0\0", '"0000:00:02.0"'),
        (v.VFIO_GROUP_SET_CONTAINER, GROUP, bytes(ctypes.c_int32(3)), "[3]"),
        (v.VFIO_SET_IOMMU, CONTAINER, 3, "VFIO_TYPE1v2_IOMMU"),
        (v.VFIO_CHECK_EXTENSION, CONTAINER, 9, "VFIO_UNMAP_ALL"),
        (k.KVM_CHECK_EXTENSION, "/dev/kvm", 63, "KVM_CAP_SPAPR_TCE"),
        (v.VFIO_IOMMU_MAP_DMA, CONTAINER, 0x7F00, "0x7f00"),
    ],
)
def test_other_arguments_are_shown_for_what_they_are(
    request_: Request, file: str, argument: int | bytes, text: str
) -> None:
    number, block = (argument, None) if isinstance(argument, int) else (1, argument)
    shown = strace.call_text("ioctl", (3, request_, number), file=file, before=block)
    assert shown.endswith(f", {text})")


@pytest.mark.parametrize(
    ("call", "arguments", "path", "text"),
    [
        ("open", (2,), "/dev/vfio/1", 'openat(AT_FDCWD, "/dev/vfio/1", O_RDWR)'),
        ("open", (0o2000000,), "/a", 'openat(AT_FDCWD, "/a", O_RDONLY|O_CLOEXEC)'),
        (
            "mmap",
            (0, 0x1000, 3, 0x22, 0xFFFFFFFFFFFFFFFF, 0),
            "",
            "mmap(NULL, 0x1000, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)",
        ),
        (
            "mmap",
            (0, 0x1000, 1, 1, 7, 0x2000),
            "",
            "mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, 7, 0x2000)",
        ),
        ("munmap", (0x7000, 0x1000), "", "munmap(0x7000, 0x1000)"),
        ("close", (7,), "", "close(7)"),
        ("eventfd2", (0, 0o4000), "", "eventfd2(0, EFD_NONBLOCK)"),
        ("memfd_create", (1,), "ram", 'memfd_create("ram", MFD_CLOEXEC)'),
        ("poll", (4, 1), "", "poll([{fd=4, events=POLLIN}], 1, 0)"),
        ("pread64", (7, 0x7000, 4, 0x70000000000), "", "pread64(7, 0x7000, 0x4, 0x70000000000)"),
    ],
)
def test_a_call_is_shown_with_its_arguments(
    call: str, arguments: tuple[int, ...], path: str, text: str
) -> None:
    assert strace.call_text(call, arguments, path=path) == text


@pytest.mark.parametrize(
    ("call", "result", "text"),
    [
        ("ioctl", 0, "0"),
        ("open", 3, "3"),
        ("open", -2, "-1 ENOENT (No such file or directory)"),
        ("mmap", 0x7F0000001000, "0x7f0000001000"),
        ("poll", 1, "1 ([{revents=POLLIN}])"),
    ],
)
def test_a_result_is_shown_as_strace_does(call: str, result: int, text: str) -> None:
    assert strace.result_text(call, result) == text


def test_a_record_of_the_trace_names_the_reason_of_a_refusal_once() -> None:
    record = TraceRecord(
        7, 1, "open", (posix.O_RDWR,), -2, "ENOENT: no node (fs/namei.c: do_open)", path="/dev/x"
    )
    assert str(record) == (
        '     7 [1] openat(AT_FDCWD, "/dev/x", O_RDWR) = -1 ENOENT (No such file or directory)'
        "  no node (fs/namei.c: do_open)"
    )


def test_a_path_of_any_bytes_is_traced() -> None:
    with System() as system:
        system.keep_trace(1)
        process = system.process()
        with pytest.raises(FileNotFoundError):
            process.open(b'/dev/\xff"', 0)
        (record,) = system.trace()
        assert os.fsencode(record.path) == b'/dev/\xff"'
        assert str(record).encode().count(b'"/dev/\\xff\\x22"') == 1


def test_the_trace_of_a_program_reads_as_strace_prints_it() -> None:
    with System("q35-intel") as system:
        system.keep_trace(64)
        process = system.process()
        ram = process.mmap(0x1000, 3, 0x22)
        with vfio.Container(process) as container, vfio.Group(process, 1) as group:
            group.set_container(container)
            container.set_iommu()
            container.map_dma(0x100000, ram, 0x1000)
            device = group.get_device("0000:00:02.0")
            device.close()
        lines = [str(record).partition("] ")[2] for record in system.trace()]
    for text in (
        f"mmap(NULL, 0x1000, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = {ram:#x}",
        'openat(AT_FDCWD, "/dev/vfio/1", O_RDWR) = 4',
        "ioctl(4, VFIO_GROUP_SET_CONTAINER, [3]) = 0",
        "ioctl(3, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) = 0",
        "ioctl(3, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=VFIO_DMA_MAP_FLAG_READ|"
        f"VFIO_DMA_MAP_FLAG_WRITE, vaddr={ram:#x}, iova=0x100000, size=0x1000}}) = 0",
        'ioctl(4, VFIO_GROUP_GET_DEVICE_FD, "0000:00:02.0") = 5',
        "close(5) = 0",
    ):
        assert text in lines


def test_the_trace_shows_what_was_written_and_read() -> None:
    with System("q35-intel") as system:
        system.keep_trace(2)
        process = system.process()
        eventfd = process.eventfd()
        process.write(eventfd, (7).to_bytes(8, "little"))
        process.read(eventfd, 8)
        write, read = system.trace()
    assert (write.file, write.before) == ("eventfd", (7).to_bytes(8, "little"))
    assert read.after == (7).to_bytes(8, "little")
    assert '"\\x07\\x00' in str(read)


def test_tracing_changes_nothing_that_a_program_can_see() -> None:
    def program(trace: int) -> tuple[object, ...]:
        with System("q35-intel") as system:
            system.keep_trace(trace)
            process = system.process()
            with kvm.Kvm(process) as module, module.create_vm() as vm:
                ram = process.mmap(0x4000, 3, 0x22)
                vm.set_user_memory_region(0, 0, ram, 0x4000)
                process.fail_nth = 9
                eventfd = process.eventfd()
                process.write(eventfd, b"\1" + bytes(7))
                return (system.used_frames, process.fail_nth, process.read(eventfd, 8), os.getpid())

    assert program(0) == program(100)
