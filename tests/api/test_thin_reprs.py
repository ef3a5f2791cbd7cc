# SPDX-License-Identifier: MIT
"""What the thin objects look like: addresses and sizes in hex, for Hypothesis as well."""

from __future__ import annotations

import pytest
from hypothesis.vendor.pretty import pretty

from kvmiommu import Range, kvm, pci, spapr, vfio
from kvmiommu.uapi.papr import H_PARAMETER, H_PUT_TCE
from vfio_scene import EDU, scene

SHOWN = [
    (Range(0x1000, 0x1FFF), "Range(0x1000, 0x1fff)"),
    (
        vfio.IommuInfo(0x1000, 5, (Range(0, 0xFFF),), 1 << 28),
        "IommuInfo(iova_pgsizes=0x1000, dma_avail=5, iova_ranges=(Range(0x0, 0xfff),), "
        "max_dirty_bitmap_size=0x10000000)",
    ),
    (
        vfio.Bitmap(0x100000, 0x4000, 0x1000, bytes([0b1011]) + bytes(7), unmapped=0x4000),
        "<Bitmap of 0x100000-0x103fff in pages of 0x1000, "
        "dirty: 0x100000-0x101fff, 0x103000-0x103fff, 0x4000 bytes unmapped>",
    ),
    (
        vfio.SparseMmap((vfio.Area(0, 0x1000),)),
        "SparseMmap(areas=(Area(offset=0x0, size=0x1000),))",
    ),
    (vfio.RegionType(1 << 31, 2), "RegionType(type=0x80000000, subtype=0x2)"),
    (
        spapr.SpaprInfo(0, 1 << 31, (4096, 65536), 2, 5),
        "SpaprInfo(dma32_window_start=0x0, dma32_window_size=0x80000000, "
        "page_sizes=(0x1000, 0x10000), windows=2, levels=5)",
    ),
    (
        spapr.Window(1 << 59, 16, 256, 1),
        "Window(start=0x800000000000000, page_shift=16, pages=0x100, levels=1)",
    ),
    (
        pci.Bar(8192, memory=((0, 4095), (4096, 8191))),
        "Bar(size=0x2000, io=False, prefetchable=False, wide=False, "
        "memory=((0x0, 0xfff), (0x1000, 0x1fff)))",
    ),
    (
        pci.Bar(4096),
        "Bar(size=0x1000, io=False, prefetchable=False, wide=False, memory=())",
    ),
    (
        kvm.HypercallAnswer(H_PUT_TCE, H_PARAMETER, 77),
        "HypercallAnswer(H_PUT_TCE, r3=H_PARAMETER, r4=0x4d)",
    ),
    (kvm.HypercallAnswer(0x54, -100, 0), "HypercallAnswer(0x54, r3=-100, r4=0x0)"),
    (kvm.Hypercall(H_PUT_TCE, (1, 0x10000)), "Hypercall(H_PUT_TCE, (0x1, 0x10000))"),
    (
        kvm.TceState(0x80000001, None, 12, 0, 16, {10: 0x1003}),
        "TceState(liobn=0x80000001, group=None, page_shift=12, offset=0x0, size=0x10, "
        "entries={0xa: 0x1003})",
    ),
]


@pytest.mark.parametrize(
    ("shown", "text"),
    SHOWN,
    ids=lambda each: type(each).__name__ if not isinstance(each, str) else "",
)
def test_numbers_are_shown_in_hex(shown: object, text: str) -> None:
    assert repr(shown) == text
    assert pretty(shown) == text


def test_what_belongs_to_a_device_names_it() -> None:
    with scene(1) as running:
        device = running.open(EDU)
        whose = f"<Device {EDU}, descriptor {device.fd}>"
        assert repr(device) == whose
        assert repr(device.region(0)) == f"<Region 0 of {whose}: 0x100000 bytes>"
        assert repr(device.msi) == f"<Irq MSI of {whose}>"
        assert repr(device.irq(9)) == f"<Irq 9 of {whose}>"
        with device.region(0).mmap(0, 0x2000) as mapping:
            assert repr(mapping) == f"<Mapping of 0x2000 bytes at {mapping.address:#x}>"
        device.close()
        assert repr(device).endswith(", closed>")
        group = running.groups[1]
        assert repr(group) == f"<Group 1, descriptor {group.fd}>"
