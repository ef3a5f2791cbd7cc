# SPDX-License-Identifier: MIT
"""The structures of `kvmiommu.uapi` take what fits their fields, and nothing is cut."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from kvmiommu.uapi import iommufd, iommufd_test, kvm, kvm_2013, vfio

MODULES: tuple[ModuleType, ...] = (vfio, kvm, kvm_2013, iommufd, iommufd_test)
MAP = vfio.vfio_iommu_type1_dma_map


def structures() -> Iterator[type[ctypes.Structure | ctypes.Union]]:
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and hasattr(value, "_fields_"):
                yield value


@pytest.mark.parametrize("number", [1 << 64, -1, -4096, (1 << 64) + 0x5000], ids=hex)
def test_a_number_that_does_not_fit_is_refused_with_its_field(number: int) -> None:
    expected = rf"dma_map\.iova is {number:#x}: must be from 0x0 to 0xffffffffffffffff"
    with pytest.raises(OverflowError, match=expected):
        MAP(iova=number)
    with pytest.raises(OverflowError, match=expected):
        MAP(32, 0, 0, number)
    block = MAP(iova=5)
    with pytest.raises(OverflowError, match=expected):
        block.iova = number
    assert block.iova == 5


def test_signed_fields_have_their_own_range() -> None:
    assert kvm.kvm_vfio_spapr_tce(groupfd=-1).groupfd == -1
    with pytest.raises(OverflowError, match=r"groupfd is 0x80000000: must be from -0x80000000"):
        kvm.kvm_vfio_spapr_tce(groupfd=1 << 31)


def test_members_of_unnamed_unions_are_checked() -> None:
    with pytest.raises(OverflowError, match=r"kvm_irq_level\.irq"):
        kvm.kvm_irq_level(irq=-1)


def test_a_tuple_for_an_inner_structure_is_checked() -> None:
    with pytest.raises(OverflowError, match=r"vfio_bitmap\.data"):
        vfio.vfio_iommu_type1_dirty_bitmap_get(bitmap=(4096, 8, -1))


def test_entries_of_arrays_are_checked() -> None:
    with pytest.raises(OverflowError, match=r"kvm_enable_cap\.args\[3\] is 0x10000000000000000"):
        kvm.kvm_enable_cap(args=(1, 2, 3, 1 << 64))
    with pytest.raises(ValueError, match=r"kvm_enable_cap\.args has 4 entries, not 5"):
        kvm.kvm_enable_cap(args=(1, 2, 3, 4, 5))
    cap = kvm.kvm_enable_cap(args=[1, 2])
    with pytest.raises(OverflowError, match="entry 1"):
        cap.args[1] = -1
    with pytest.raises(OverflowError, match="entry 2"):
        cap.args[1:3] = [7, -1]
    assert list(cap.args) == [1, 2, 0, 0]
    cap.args[1:3] = [7, 8]
    cap.pad = b"abc"
    assert list(cap.args) == [1, 7, 8, 0]
    assert bytes(cap.pad)[:4] == b"abc\0"
    cap.args = (ctypes.c_uint64 * 4)(9, 8, 7, 6)
    assert list(cap.args) == [9, 8, 7, 6]


def test_no_structure_has_integers_that_are_not_checked() -> None:
    for each in structures():
        for name, kind, *_ in each._fields_:
            what = f"{each.__name__}.{name}"
            if issubclass(kind, ctypes.Array):
                with pytest.raises(OverflowError):
                    kind()[0] = 1 << 200
            elif issubclass(kind, ctypes.Structure | ctypes.Union):
                assert kind in set(structures()), what
            else:
                with pytest.raises(OverflowError, match=what):
                    setattr(each(), name, 1 << 200)


def test_integers_of_all_kinds_are_taken() -> None:
    block = MAP(argsz=np.uint32(32), flags=True, iova=np.uint64(1 << 63), size=np.int16(7))
    assert (block.argsz, block.flags, block.iova, block.size) == (32, 1, 1 << 63, 7)
    with pytest.raises(OverflowError, match=r"dma_map\.size is -0x1"):
        block.size = np.int64(-1)


@pytest.mark.parametrize("number", [4096.0, "4096", None, np.float64(1)], ids=repr)
def test_what_is_no_integer_is_refused_with_its_field(number: object) -> None:
    kind = type(number).__name__
    with pytest.raises(TypeError, match=rf"dma_map\.iova must be an integer, not {kind}"):
        MAP(iova=number)


def test_bits_of_a_negative_number_are_given_as_a_ctypes_number() -> None:
    assert MAP(iova=ctypes.c_uint64(-4096)).iova == (1 << 64) - 4096


def test_a_name_that_is_no_field_is_refused_with_the_field_that_was_meant() -> None:
    with pytest.raises(AttributeError, match="no field 'vadr'; did you mean 'vaddr'"):
        MAP(vadr=0x1000)
    with pytest.raises(AttributeError, match="no field 'length'"):
        MAP().length = 1
