# SPDX-License-Identifier: MIT
"""What calls cost from Python, beside `os.getppid()` of the same run.

    pytest bench --benchmark-enable --benchmark-only

Times on a shared machine are noise; the ratios to getppid are what to look at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from kvmiommu import System, uapi
from kvmiommu.vfio import Container, Group

_v = uapi.vfio
Benchmark = Callable[..., object]


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with System("q35-intel") as system:
        process = system.process()
        opened = Container(process)
        Group(process, 1).set_container(opened)
        opened.set_iommu()
        yield opened


def test_getppid(benchmark: Benchmark) -> None:
    benchmark(os.getppid)


def test_ioctl_value(benchmark: Benchmark, container: Container) -> None:
    """A request without an argument."""
    benchmark(container.process.ioctl, container.fd, _v.VFIO_GET_API_VERSION, 0)


def test_ioctl_reused_block(benchmark: Benchmark, container: Container) -> None:
    """A struct that is copied in and back: an unmap of a hole."""
    block = bytearray(_v.vfio_iommu_type1_dma_unmap(argsz=24, iova=0x1000, size=0x1000))

    def unmap_hole() -> None:
        block[16:24] = b"\0\x10\0\0\0\0\0\0"
        container.process.ioctl(container.fd, _v.VFIO_IOMMU_UNMAP_DMA, block)

    benchmark(unmap_hole)


def test_ioctl_block_in_process_memory(benchmark: Benchmark, container: Container) -> None:
    """The same, with the struct in memory of the process: nothing is copied by Python."""
    process = container.process
    address = process.mmap(4096, 3, 0x22)
    process.poke(address, bytes(_v.vfio_iommu_type1_dma_unmap(argsz=24, iova=0x1000, size=0x1000)))
    view = process.view(address + 16, 8).cast("Q")

    def unmap_hole() -> None:
        view[0] = 0x1000
        process.ioctl(container.fd, _v.VFIO_IOMMU_UNMAP_DMA, address)

    benchmark(unmap_hole)
    view.release()
    process.munmap(address, 4096)


@pytest.mark.parametrize("size", [4 << 10, 2 << 20, 1 << 30], ids=["4K", "2M", "1G"])
def test_map_and_unmap(benchmark: Benchmark, container: Container, size: int) -> None:
    memory = container.process.mmap(size, 3, 0x22, align=size)

    def map_and_unmap() -> None:
        container.map_dma(1 << 34, memory, size)
        container.unmap_dma(1 << 34, size)

    benchmark(map_and_unmap)
    container.process.munmap(memory, size)


def test_container_open_to_close(benchmark: Benchmark) -> None:
    with System("q35-intel") as system:
        process = system.process()

        def open_to_close() -> None:
            with Container(process) as opened, Group(process, 1) as group:
                group.set_container(opened)
                opened.set_iommu()

        benchmark(open_to_close)
