# SPDX-License-Identifier: MIT
"""PCI devices of your own: a class in the place of a machine's hardware.

    class Doubler(pci.DeviceModel):
        bars = {0: pci.Bar(size=4096)}
        value = 0

        def read(self, bar, offset, size):
            return self.value

        def write(self, bar, offset, size, value):
            self.value = 2 * value
            self.raise_interrupt()

    System("q35-intel", models={"0000:00:05.0": Doubler})

A model is called by whoever reads or writes its BARs, from any thread, without a lock of the
emulator; it may call back, do DMA and raise interrupts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from . import _core
from ._shown import Hex, shown

__all__ = ["Bar", "DeviceModel"]


@shown
@dataclass(frozen=True, slots=True, repr=False)
class Bar:
    """A region: `size` bytes, a power of two, of memory or of I/O ports.

    `memory` are ranges (start, last) of whole 4 KiB pages that are plain memory, shared with
    whoever maps them; all else is trapped: each access is a call of the model. On a machine with
    64 KiB pages a page that is not all memory is trapped as a whole. `wide` is a 64-bit address,
    which takes the next region's place, too.
    """

    size: Hex
    io: bool = False
    prefetchable: bool = False
    wide: bool = False
    memory: tuple[tuple[Hex, Hex], ...] = ()

    def __post_init__(self) -> None:
        smallest = 4 if self.io else 16
        if self.size < smallest or self.size & (self.size - 1) or self.size > 1 << 31:
            raise ValueError(
                f"a BAR of {self.size:#x} bytes: must be a power of two from {smallest} to 2 GiB"
            )
        if self.io and (self.wide or self.prefetchable or self.memory):
            raise ValueError("a BAR of I/O ports is not wide or prefetchable and has no memory")
        for start, last in self.memory:
            if start % 4096 or (last + 1) % 4096 or not 0 <= start < last < self.size:
                raise ValueError(f"{start:#x} to {last:#x} are no whole pages of the BAR")


class DeviceModel(_core.DeviceModel):
    """The hardware of a PCI function. Override what differs; call `super().__init__()`.

    What a method raises comes out of the call that led to it, in the place of the call's value.
    Where there is none, because a finalizer closed the device, `System.close()` raises it.
    """

    vendor_id: int = 0x1AF4
    device_id: int = 0x10FF
    subsystem_vendor_id: int = 0
    subsystem_id: int = 0
    class_code: int = 0xFF0000
    revision: int = 0
    #: 1 to 4 for INTA to INTD, 0 for none.
    interrupt_pin: int = 1
    #: A power of two up to 32, or 0 for none.
    msi_vectors: int = 1
    #: Can it be reset on its own (VFIO_DEVICE_RESET)?
    function_level_reset: bool = True
    bars: ClassVar[Mapping[int, Bar]] = {}

    def read(self, bar: int, offset: int, size: int) -> int:
        """A load of `size` (1, 2, 4 or 8) bytes from a trapped page, aligned to its size.

        What is no int is a TypeError. What does not fit into `size` bytes, such as a negative
        number, is an OverflowError.
        """
        return 0

    def write(self, bar: int, offset: int, size: int, value: int) -> None:
        """A store to a trapped page."""

    def reset(self) -> None:
        """Everything becomes as at power-on. Called at the first open of the device, too, where it
        can be reset on its own."""


def made_from(makers: Mapping[str, Callable[[], DeviceModel]]) -> dict[str, DeviceModel]:
    """The models by their functions' addresses. Their attributes are looked at later, once."""
    if not isinstance(makers, Mapping):
        raise TypeError(f"models is {makers!r}: must be a mapping of PCI addresses to models")
    return {address: _made(address, make) for address, make in makers.items()}


def _made(address: str, make: Callable[[], DeviceModel]) -> DeviceModel:
    if not callable(make):
        raise TypeError(
            f"models[{address!r}] is {make!r}: must be a class of models, or what returns a model"
        )
    model = make()
    if not isinstance(model, DeviceModel):
        raise TypeError(f"a model is a kvmiommu.pci.DeviceModel, not {model!r}")
    return model
