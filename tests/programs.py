# SPDX-License-Identifier: MIT
"""Machines to test on, and the first steps of every program that uses VFIO or KVM."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from typing import TypeVar

from kvmiommu import Process, machine
from kvmiommu.uapi import Abi, kvm, vfio

_T = TypeVar("_T")

READ_WRITE = PROT_READ | PROT_WRITE
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
DMA_READ_WRITE = vfio.VFIO_DMA_MAP_FLAG_READ | vfio.VFIO_DMA_MAP_FLAG_WRITE

#: A device alone in its group, and that group.
GROUP = "/dev/vfio/1"
DEVICE = b"0000:00:02.0\0"


def q35(*, memory: str = "4G", fixed: tuple[str, ...] = (), **keys: str) -> machine.Machine:
    """The q35 with VT-d; `keys` are more keys of its [machine]."""
    text = machine.load("q35-intel").text()
    changes = {"memory": f'"{memory}"', "fixed": str(list(fixed)).replace("'", '"')}
    changes |= {key: f'"{value}"' for key, value in keys.items()}
    lines = []
    for line in text.splitlines():
        key = line.split(" = ")[0]
        lines.append(f"{key} = {changes.pop(key)}" if key in changes else line)
    assert not changes, f"no such keys: {changes}"
    return machine.parse("\n".join(lines))


def bare(arch: str = "x86_64", page_size: str = "4K", **modules: bool) -> machine.Machine:
    """A machine without IOMMU and devices; `modules` are those that are not loaded, = False."""
    loaded = "".join(f"{name} = {str(on).lower()}\n" for name, on in modules.items())
    return machine.parse(
        f'[machine]\nname = "bare"\narch = "{arch}"\npage_size = "{page_size}"\n'
        f'memory = "256M"\n[modules]\n{loaded}'
    )


def outcome(call: Callable[[], _T]) -> _T | int:
    """What the call returned, or the errno that it was refused with, negative."""
    try:
        return call()
    except OSError as error:
        return -(error.errno or 0)


def memory(process: Process, pages: int = 1, prot: int = READ_WRITE) -> int:
    """The address of that many new pages."""
    return process.mmap(pages * process.page_size, prot, PRIVATE)


def group_in_container(process: Process, group: str = GROUP) -> tuple[int, int]:
    """The descriptors of a new container and of a group that is in it; no IOMMU driver yet."""
    container = process.open("/dev/vfio/vfio", os.O_RDWR)
    group_fd = process.open(group, os.O_RDWR)
    process.ioctl(group_fd, vfio.VFIO_GROUP_SET_CONTAINER, ctypes.c_int32(container))
    return container, group_fd


def type1(process: Process, group: str = GROUP) -> tuple[int, int]:
    """The descriptors of a container that is ready for mappings, and of its group."""
    container, group_fd = group_in_container(process, group)
    process.ioctl(container, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU)
    return container, group_fd


def device(process: Process, group: int, name: bytes = DEVICE) -> int:
    """The descriptor of a device of the group."""
    return process.ioctl(group, vfio.VFIO_GROUP_GET_DEVICE_FD, name)


def map_dma(
    process: Process,
    container: int,
    iova: int,
    address: int,
    size: int,
    *,
    flags: int = DMA_READ_WRITE,
) -> None:
    """VFIO_IOMMU_MAP_DMA."""
    block = vfio.vfio_iommu_type1_dma_map(
        argsz=ctypes.sizeof(vfio.vfio_iommu_type1_dma_map),
        flags=flags,
        vaddr=address,
        iova=iova,
        size=size,
    )
    process.ioctl(container, vfio.VFIO_IOMMU_MAP_DMA, block)


def unmap_dma(process: Process, container: int, iova: int, size: int, flags: int = 0) -> int:
    """VFIO_IOMMU_UNMAP_DMA: how many bytes went."""
    block = vfio.vfio_iommu_type1_dma_unmap(
        argsz=ctypes.sizeof(vfio.vfio_iommu_type1_dma_unmap), flags=flags, iova=iova, size=size
    )
    process.ioctl(container, vfio.VFIO_IOMMU_UNMAP_DMA, block)
    return int(block.size)


def vm(process: Process, abi: Abi = "generic") -> int:
    """The descriptor of a new virtual machine."""
    module = process.open("/dev/kvm", os.O_RDWR)
    made = process.ioctl(module, kvm.KVM_CREATE_VM.number(abi), 0)
    process.close(module)
    return made


def kvm_vfio_device(process: Process, machine_fd: int, abi: Abi = "generic") -> int:
    """The descriptor of the KVM-VFIO device of a virtual machine."""
    create = kvm.kvm_create_device(type=kvm.KVM_DEV_TYPE_VFIO)
    process.ioctl(machine_fd, kvm.KVM_CREATE_DEVICE.number(abi), create)
    return int(create.fd)


def add_file(process: Process, kvm_device: int, fd: int) -> None:
    """KVM_DEV_VFIO_FILE_ADD of a VFIO descriptor."""
    address = memory(process)
    process.poke(address, fd.to_bytes(4, "little", signed=True))
    attribute = kvm.kvm_device_attr(
        group=kvm.KVM_DEV_VFIO_FILE, attr=kvm.KVM_DEV_VFIO_FILE_ADD, addr=address
    )
    try:
        process.ioctl(kvm_device, kvm.KVM_SET_DEVICE_ATTR, attribute)
    finally:
        process.munmap(address, process.page_size)
