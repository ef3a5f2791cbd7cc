# SPDX-License-Identifier: MIT
"""The thin objects and the fixtures that come with the package."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import System, uapi
from kvmiommu.kvm import VM
from kvmiommu.process import Process
from kvmiommu.testing.strategies import MapCall, iova_ranges, iovas, map_programs
from kvmiommu.vfio import Container, Group

BUFFER = 0x100000


def test_map_and_unmap(vfio_container: Container, kvmiommu_process: Process) -> None:
    buffer = kvmiommu_process.mmap(BUFFER, 3, 0x22)
    vfio_container.map_dma(0x100000, buffer, 0x10000)
    assert kvmiommu_process.status("VmLck") == 64
    with pytest.raises(FileExistsError) as refused:
        vfio_container.map_dma(0x10F000, buffer, 0x1000)
    assert "meet the mapping at 0x100000" in str(refused.value)
    assert vfio_container.unmap_dma(0, 0x200000) == 0x10000
    assert vfio_container.unmap_all() == 0
    assert kvmiommu_process.status("VmLck") == 0


def test_info_takes_the_chain_apart(vfio_container: Container) -> None:
    info = vfio_container.get_info()
    assert info.iova_pgsizes == 0x40201000
    assert info.dma_avail == 65535
    assert info.iova_ranges == ((0, 0xFEDFFFFF), (0xFEF00000, 0xFFFFFFFFFFFF))
    assert info.max_dirty_bitmap_size == 1 << 28


def test_dirty_pages(vfio_container: Container, kvmiommu_process: Process) -> None:
    buffer = kvmiommu_process.mmap(BUFFER, 3, 0x22)
    vfio_container.map_dma(0x2000, buffer, 0x2000)
    with pytest.raises(OSError, match="not tracked") as refused:
        vfio_container.dirty_bitmap(0, 0x8000)
    assert refused.value.errno == errno.EINVAL
    vfio_container.start_dirty_pages()
    assert [*vfio_container.dirty_bitmap(0, 0x8000).ranges()] == [(0x2000, 0x3FFF)]
    vfio_container.stop_dirty_pages()


def test_group_status_and_leaving(vfio_container: Container, vfio_group: Group) -> None:
    both = uapi.vfio.VFIO_GROUP_FLAGS_VIABLE | uapi.vfio.VFIO_GROUP_FLAGS_CONTAINER_SET
    assert vfio_group.get_status() == both
    vfio_group.unset_container()
    assert vfio_group.get_status() == uapi.vfio.VFIO_GROUP_FLAGS_VIABLE
    with pytest.raises(OSError, match="no IOMMU driver yet"):
        vfio_container.unmap_all()


def test_an_open_device_keeps_its_group(vfio_container: Container, vfio_group: Group) -> None:
    with vfio_group.get_device("0000:00:02.0"), pytest.raises(OSError, match="more users") as busy:
        vfio_group.unset_container()
    assert busy.value.errno == errno.EBUSY
    vfio_group.unset_container()
    assert vfio_container.check_extension(uapi.vfio.VFIO_TYPE1_IOMMU) == 1


def test_kvm_knows_a_group_by_its_file(kvm_vm: VM, vfio_group: Group) -> None:
    assert kvm_vm.can_create_device(uapi.kvm.KVM_DEV_TYPE_VFIO)
    assert not kvm_vm.can_create_device(uapi.kvm.KVM_DEV_TYPE_XICS)
    with kvm_vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO) as device:
        device.add_file(vfio_group.fd)
        with pytest.raises(FileExistsError):
            device.add_file(vfio_group.dup())
        device.del_file(vfio_group.fd)
        with pytest.raises(FileNotFoundError):
            device.del_file(vfio_group.fd)
        assert device.has_attr(uapi.kvm.KVM_DEV_VFIO_FILE, uapi.kvm.KVM_DEV_VFIO_FILE_ADD)
        assert not device.has_attr(0, 0)


def test_closing_twice_is_one_close(kvmiommu_process: Process) -> None:
    with Container(kvmiommu_process) as container:
        number = container.fd
        container.close()
    assert repr(container) == f"<Container, descriptor {number}, closed>"
    with pytest.raises(OSError, match="not open") as closed:
        kvmiommu_process.close(number)
    assert closed.value.errno == errno.EBADF


@pytest.mark.kvmiommu_machine("q35-intel")
def test_the_marker_chooses_the_machine(kvmiommu_system: System) -> None:
    assert kvmiommu_system.machine.name == "q35-intel"


@given(iovas(address_width=39))
def test_iovas_are_pages_of_the_space(iova: int) -> None:
    assert iova % 4096 == 0
    assert 0 <= iova < 1 << 39


@given(iova_ranges(page_size=65536, most_pages=16))
def test_ranges_end_within_the_space(piece: tuple[int, int]) -> None:
    iova, size = piece
    assert size > 0
    assert iova % 65536 == size % 65536 == 0
    assert iova + size <= 1 << 48


@given(st.data())
def test_programs_map_within_the_buffer(data: st.DataObject) -> None:
    for call in data.draw(map_programs(buffer_size=BUFFER)):
        if isinstance(call, MapCall):
            assert 0 <= call.offset <= BUFFER - call.size


def test_os_flags_are_the_machines(kvmiommu_process: Process) -> None:
    with pytest.raises(OSError, match="there is no such name"):
        kvmiommu_process.open("/dev/vfio/77", os.O_RDWR)
