# SPDX-License-Identifier: MIT
"""`Refusal`: what it says of the call that was refused."""

from __future__ import annotations

import array
import copy
import errno
import os
import pickle

import pytest

from kvmiommu import LeakError, MemoryFault, Refusal, System
from kvmiommu.iommu import Domain
from kvmiommu.uapi import vfio
from kvmiommu.vfio import Container, Group


def refusals() -> list[Refusal]:
    """One with a path, one with a request, one with neither, one of a batch."""
    found: list[Refusal] = []
    with System("q35-intel") as system:
        process = system.process()
        table, zeros = Domain("vtdss"), array.array("Q", [0, 0])
        calls = [
            lambda: process.open("/dev/vfio/99", os.O_RDWR),
            lambda: process.ioctl(process.eventfd(), vfio.VFIO_GET_API_VERSION),
            lambda: process.read(99, 8),
            lambda: table.map_batch(zeros, zeros, 4096),
        ]
        for call in calls:
            with pytest.raises(Refusal) as refused:
                call()
            found.append(refused.value)
    return found


def test_the_text_has_the_errno_the_subject_the_reason_and_the_source() -> None:
    no_path, no_request, neither, batch = refusals()
    assert isinstance(no_path, FileNotFoundError)
    assert no_path.filename == "/dev/vfio/99"
    assert str(no_path).startswith("[Errno 2] No such file or directory: '/dev/vfio/99': ")
    assert no_request.request == "VFIO_GET_API_VERSION"
    assert "ioctl for device: VFIO_GET_API_VERSION: " in str(no_request)
    assert (neither.request, neither.filename) == (None, None)
    assert str(neither).startswith("[Errno 9] Bad file descriptor: ")
    assert (batch.errno, batch.index) == (errno.EEXIST, 1)
    for each in (no_path, no_request, neither, batch):
        assert str(each).endswith(f"{each.reason} [{each.source}]")


def test_a_refusal_can_be_pickled_and_copied() -> None:
    for each in refusals():
        for twin in (pickle.loads(pickle.dumps(each)), copy.copy(each), copy.deepcopy(each)):
            assert type(twin) is type(each)
            assert str(twin) == str(each)
            assert twin.args == each.args
            assert vars(twin) == vars(each)
            assert (twin.request, twin.filename) == (each.request, each.filename)


def test_a_request_is_named_by_the_file_that_refused_it() -> None:
    """Containers and devices share numbers."""
    with System("q35-intel") as system:
        process = system.process()
        container, group = Container(process), Group(process, 1)
        group.set_container(container)
        container.set_iommu()
        device = group.get_device("0000:00:02.0")
        names = []
        for fd in (container.fd, device.fd, 99):
            with pytest.raises(Refusal) as refused:
                process.ioctl(fd, vfio.VFIO_IOMMU_MAP_DMA)
            names.append(refused.value.request)
        with pytest.raises(Refusal) as refused:
            process.ioctl(container.fd, 0x12345)
        names.append(refused.value.request)
    assert names == [
        "VFIO_IOMMU_MAP_DMA",
        "VFIO_DEVICE_PCI_HOT_RESET",
        "VFIO_DEVICE_PCI_HOT_RESET or VFIO_IOMMU_MAP_DMA",
        "_IOC(_IOC_NONE, 0x23, 0x45, 0x1)",
    ]


def test_power_has_requests_of_its_own() -> None:
    with System("pseries") as system:
        process = system.process()
        container = Container(process)
        request = vfio.VFIO_IOMMU_SPAPR_TCE_CREATE.number("power")
        with pytest.raises(Refusal) as refused:
            process.ioctl(container.fd, request)
        assert refused.value.request == "VFIO_IOMMU_SPAPR_TCE_CREATE"


@pytest.mark.parametrize("error", [MemoryFault("SIGBUS", 0x1000, 8), LeakError("a", ["a file: 1"])])
def test_other_errors_can_be_pickled_and_copied(error: MemoryFault | LeakError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert (str(twin), twin.__dict__) == (str(error), error.__dict__)
