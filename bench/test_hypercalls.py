# SPDX-License-Identifier: MIT
"""TCE hypercalls, the short way and the long one, beside `os.getppid()` of the same run.

    pytest bench/test_hypercalls.py --benchmark-enable --benchmark-only

The long way leaves KVM for each entry: a VMM in Python maps it by an ioctl and comes back. Each
round puts as many entries as the name says: divide by that, and compare the two ways.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from kvmiommu import System
from kvmiommu.kvm import Guest, Kvm
from kvmiommu.spapr import SpaprContainer
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi.papr import H_PUT_TCE
from kvmiommu.vfio import Group
from kvmiommu.vmm import Bus, Vmm

RAM = 16 << 20
PAGES = 1 << 16
LIOBN = 0x80000001
RUNS = (1, 512, 65536)

Benchmark = Callable[..., object]


@pytest.fixture(params=["short", "long"])
def vmm(request: pytest.FixtureRequest) -> Iterator[Vmm]:
    with System("powernv9") as system:
        process = system.process()
        ram = process.mmap(RAM, 3, 0x22, align=2 << 20)
        vm = Kvm(process).create_vm()
        container = SpaprContainer(process)
        group = Group(process, 1)
        group.set_container(container)
        container.set_iommu()
        container.remove_window(0)
        container.register_memory(ram, RAM)
        start = container.create_window(16, PAGES << 16)
        if request.param == "short":
            table = vm.create_spapr_tce(LIOBN, page_shift=16, offset=start >> 16, size=PAGES)
            device = vm.create_device(k.KVM_DEV_TYPE_VFIO)
            device.add_file(group)
            device.set_spapr_tce(group, table)
        vmm = Vmm(Guest(vm, ram, RAM))
        vmm.add_bus(Bus(LIOBN, container, start, 16, PAGES))
        yield vmm


def test_getppid(benchmark: Benchmark) -> None:
    benchmark(os.getppid)


@pytest.mark.parametrize("entries", RUNS)
def test_put_tce(benchmark: Benchmark, vmm: Vmm, entries: int) -> None:
    calls = [(H_PUT_TCE, LIOBN, page << 16, (page % 256) << 16 | 3) for page in range(entries)]
    benchmark(vmm.run, calls)
