# SPDX-License-Identifier: MIT
"""Gives a device a megabyte of memory, as a user-space driver does, and reads it back."""

import ctypes
import mmap
import os

from kvmiommu import System
from kvmiommu.uapi.vfio import (
    VFIO_DMA_MAP_FLAG_READ,
    VFIO_DMA_MAP_FLAG_WRITE,
    VFIO_GROUP_SET_CONTAINER,
    VFIO_IOMMU_GET_INFO,
    VFIO_IOMMU_MAP_DMA,
    VFIO_IOMMU_UNMAP_DMA,
    VFIO_SET_IOMMU,
    VFIO_TYPE1v2_IOMMU,
    vfio_iommu_type1_dma_map,
    vfio_iommu_type1_dma_unmap,
    vfio_iommu_type1_info,
)

MEGABYTE = 1 << 20
IOVA = 0x10000000

with System("q35-intel") as system:
    process = system.process()
    container = process.open("/dev/vfio/vfio", os.O_RDWR)
    group = process.open("/dev/vfio/1", os.O_RDWR)
    process.ioctl(group, VFIO_GROUP_SET_CONTAINER, ctypes.c_int(container))
    process.ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)

    info = vfio_iommu_type1_info(argsz=ctypes.sizeof(vfio_iommu_type1_info))
    process.ioctl(container, VFIO_IOMMU_GET_INFO, info)
    print(f"page sizes of the IOMMU: {info.iova_pgsizes:#x}")

    buffer = process.mmap(
        MEGABYTE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )
    process.poke(buffer, b"for the device")
    dma = vfio_iommu_type1_dma_map(
        argsz=ctypes.sizeof(vfio_iommu_type1_dma_map),
        flags=VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
        vaddr=buffer,
        iova=IOVA,
        size=MEGABYTE,
    )
    process.ioctl(container, VFIO_IOMMU_MAP_DMA, dma)
    print(f"mapped at {IOVA:#x}: {system.pinned_frames} frames pinned")

    try:
        process.ioctl(container, VFIO_IOMMU_MAP_DMA, dma)
    except OSError as error:
        print(f"mapped again: {error}")

    unmap = vfio_iommu_type1_dma_unmap(
        argsz=ctypes.sizeof(vfio_iommu_type1_dma_unmap), iova=IOVA, size=MEGABYTE
    )
    process.ioctl(container, VFIO_IOMMU_UNMAP_DMA, unmap)
    print(f"unmapped {unmap.size:#x} bytes: {system.pinned_frames} frames pinned")
