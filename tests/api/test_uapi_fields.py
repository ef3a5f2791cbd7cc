# SPDX-License-Identifier: MIT
"""Fields of structures have types for type checkers, and are shown by the names of flags."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from kvmiommu.uapi import iommufd, iommufd_test, kvm, kvm_2013, offset_of, vfio
from kvmiommu.uapi._show import Choice, Flags

MODULES = (vfio, kvm, kvm_2013, iommufd, iommufd_test)


def _structures() -> Iterator[type[Any]]:
    for module in MODULES:
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, ctypes.Structure | ctypes.Union)
                and value.__module__ == module.__name__
            ):
                yield value


STRUCTURES = list(_structures())


def fields(kind: type[Any]) -> dict[str, type[Any]]:
    """Fields that have a type of their own; those that begin with two underscores cannot."""
    found: dict[str, type[Any]] = {}
    anonymous = getattr(kind, "_anonymous_", ())
    for name, member in kind._fields_:
        if name in anonymous:
            found.update(fields(member))
        elif not name.startswith("__"):
            found[name] = member
    return found


def test_there_are_structures() -> None:
    assert len(STRUCTURES) > 150


@pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
def test_every_field_is_annotated_and_every_annotation_is_a_field(kind: type[Any]) -> None:
    annotations = inspect.get_annotations(kind)
    expected = fields(kind)
    assert annotations.keys() == expected.keys()
    for name, member in expected.items():
        annotation = annotations[name]
        plain = get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
        if issubclass(member, ctypes.Array):
            assert plain == ctypes.Array[member._type_], name
        elif issubclass(member, ctypes.Structure | ctypes.Union):
            assert plain is member, name
        else:
            assert plain is int, name


@pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
def test_the_constants_of_a_field_exist(kind: type[Any]) -> None:
    module = next(module for module in MODULES if module.__name__ == kind.__module__)
    for name, annotation in inspect.get_annotations(kind).items():
        for way in get_args(annotation)[1:]:
            if isinstance(way, Flags | Choice):
                assert way.names(vars(module)), (name, way)


@pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
def test_every_structure_can_be_shown(kind: type[Any]) -> None:
    for byte in (0, 0xFF):
        text = repr(kind.from_buffer_copy(bytes([byte]) * ctypes.sizeof(kind)))
        assert text.startswith(kind.__name__ + "(")
        assert "ctypes" not in text
        assert " object at " not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            vfio.vfio_iommu_type1_dma_map(argsz=32, flags=3, iova=0x1000),
            "vfio_iommu_type1_dma_map(argsz=32, flags=VFIO_DMA_MAP_FLAG_READ|"
            "VFIO_DMA_MAP_FLAG_WRITE, vaddr=0, iova=0x1000, size=0)",
        ),
        (
            vfio.vfio_device_feature(argsz=8, flags=0x10006),
            "vfio_device_feature(argsz=8, flags=VFIO_DEVICE_FEATURE_GET|"
            "VFIO_DEVICE_FEATURE_DMA_LOGGING_START)",
        ),
        (kvm.kvm_create_device(type=4), "kvm_create_device(type=KVM_DEV_TYPE_VFIO, fd=0, flags=0)"),
        (
            kvm.kvm_enable_cap(cap=68, args=(1, 0x20, 0, 0)),
            "kvm_enable_cap(cap=KVM_CAP_PPC_PAPR, flags=0, args=[0x1, 0x20, 0, 0])",
        ),
        (
            kvm.kvm_ioeventfd(addr=0x1000, len=4, fd=-1),
            "kvm_ioeventfd(datamatch=0, addr=0x1000, len=4, fd=-1, flags=0)",
        ),
        (
            vfio.vfio_iommu_type1_info_cap_iova_range(nr_iovas=2),
            "vfio_iommu_type1_info_cap_iova_range(header={id=0, version=0, next=0}, nr_iovas=2)",
        ),
    ],
)
def test_a_structure_is_shown_in_the_manner_of_strace(value: object, text: str) -> None:
    assert repr(value) == text


def test_the_exit_of_a_vcpu_shows_what_belongs_to_it() -> None:
    run = kvm.kvm_run(exit_reason=kvm.KVM_EXIT_PAPR_HCALL)
    run.papr_hcall.nr = 0x20
    text = repr(run)
    assert "exit_reason=KVM_EXIT_PAPR_HCALL" in text
    assert "papr_hcall={nr=0x20, ret=0, args=[0, ...9 times]}" in text
    assert "mmio=" not in text


def test_a_field_is_found_by_its_name() -> None:
    assert offset_of(kvm.kvm_run, "immediate_exit") == 1
    with pytest.raises(AttributeError):
        offset_of(kvm.kvm_run, "nothing")
