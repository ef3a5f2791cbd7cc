# SPDX-License-Identifier: MIT
"""A program as users write it. mypy --strict reads it for each Python that the package supports."""

from __future__ import annotations

import array
import asyncio
import os
from typing import assert_type

import numpy as np

from kvmiommu import (
    DmaFault,
    MemoryFault,
    Process,
    Refusal,
    System,
    TraceRecord,
    engine,
    iommu,
    semantics,
    uapi,
)
from kvmiommu.kvm import Kvm
from kvmiommu.vfio import Container, Device, Group


def drive() -> None:
    with System("q35-intel") as system:
        process = system.process()
        assert_type(process, Process)
        with Container(process) as container, Group(process, 1) as group:
            group.set_container(container)
            container.set_iommu()
            buffer = process.mmap(1 << 20, 3, 0x22)
            container.map_dma(iova=0x100000, address=buffer, size=1 << 20)
            process.ioctl(container, uapi.vfio.VFIO_GET_API_VERSION)
            device = group.get_device("0000:00:02.0")
            assert_type(device, Device)
            interrupt = process.eventfd(0, os.O_NONBLOCK)
            assert_type(process.wait(interrupt, timeout=0.5), bool)
            assert_type(asyncio.run(process.wait_async(interrupt, 0.5)), bool)
        assert_type(system.dma_faults(), list[DmaFault])
        assert_type(system.trace(), list[TraceRecord])


def refused(process: Process) -> str | None:
    try:
        process.open("/dev/vfio/9", os.O_RDWR)
    except Refusal as error:
        assert_type(error.reason, str)
        assert_type(error.source, str)
        assert_type(error.index, int | None)
        return error.request
    except MemoryFault as fault:
        return fault.signal
    return None


def map_many() -> int:
    domain = iommu.Domain("vtdss", pgsize_bitmap=iommu.pages("4K", "2M"))
    iovas = np.arange(16, dtype=np.uint64) * np.uint64(4096)
    phys = array.array("Q", range(1 << 30, (1 << 30) + 16 * 4096, 4096))
    domain.map_batch(iovas, phys, 4096)
    found = domain.iova_to_phys_batch(iovas)
    assert_type(found[0], int)
    mine = np.zeros(16, dtype=np.uint64)
    assert int(domain.iova_to_phys_batch(iovas, mine)[3]) == found[3]
    assert len(found) == 16
    for address in found:
        assert_type(address, int)
    for name, about in iommu.formats().items():
        assert_type(name, iommu.FormatName)
        iommu.Domain(about.name)
    return domain.unmap_batch(iovas, 4096)


def engines() -> str:
    known = engine.engines()
    return known[0].name if len(known) else ""


def policies(policy: semantics.Semantics) -> semantics.Domain:
    board = semantics.Board(policy, attach_after_map="rebuild")
    board.iommu("smmu0", driver="smmu_v3", pgsize_bitmap=iommu.pages("4K"))
    return board.domain(board.device("disk", "smmu0"))


def guest(process: Process) -> None:
    with Kvm(process) as module, module.create_vm() as vm, vm.create_vcpu() as vcpu:
        vcpu.queue([(uapi.papr.H_PUT_TCE, 1, 2, 3)])
        vcpu.run(timeout=1)
        answers = vcpu.answers()
        assert_type(answers[0].r3, int)


if __name__ == "__main__":
    drive()
    print(map_many(), engines(), policies("common"))
