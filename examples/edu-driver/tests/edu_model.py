# SPDX-License-Identifier: MIT
"""An edu device that can be told to misbehave, and that minds how it is driven."""

from __future__ import annotations

from kvmiommu import pci

COMMAND_START, COMMAND_FROM_DEVICE, COMMAND_INTERRUPT = 0x1, 0x2, 0x4
CAUSE_FACTORIAL, CAUSE_DMA = 0x1, 0x100
BUFFER, BUFFER_SIZE = 0x40000, 4096


class EduModel(pci.DeviceModel):
    """The registers that the driver uses. What it must not do fails the test that it does it in."""

    vendor_id = 0x1234
    device_id = 0x11E8
    bars = {0: pci.Bar(size=1 << 20)}

    def __init__(self) -> None:
        super().__init__()
        #: Register 0: what the device says it is.
        self.identification = 0x010000ED
        #: Interrupts that get lost on their way.
        self.lost_interrupts = 0
        #: Set beside the causes of the next interrupt.
        self.extra_cause = 0
        self.buffer = bytearray(BUFFER_SIZE)
        self.reset()

    def reset(self) -> None:
        self.registers = dict.fromkeys((0x08, 0x20, 0x24, 0x80, 0x88, 0x90, 0x98), 0)
        self.buffer[:] = bytes(BUFFER_SIZE)

    def read(self, bar: int, offset: int, size: int) -> int:
        assert size == (4 if offset < 0x80 else 8), f"{size} bytes of register {offset:#x}"
        return self.identification if offset == 0 else self.registers[offset]

    def write(self, bar: int, offset: int, size: int, value: int) -> None:
        assert size == (4 if offset < 0x80 else 8), f"{size} bytes to register {offset:#x}"
        match offset:
            case 0x08:
                self.compute(value)
            case 0x64:
                self.registers[0x24] &= ~value
            case 0x98:
                self.transfer(value)
            case _:
                self.registers[offset] = value

    def compute(self, number: int) -> None:
        product = 1
        for factor in range(2, number + 1):
            product = product * factor & 0xFFFFFFFF
        self.registers[0x08] = product
        if self.registers[0x20] & 0x80:
            self.interrupt(CAUSE_FACTORIAL)

    def transfer(self, command: int) -> None:
        assert self.registers[0x24] == 0, "a transfer while an interrupt is not acknowledged"
        source, destination, count = (self.registers[at] for at in (0x80, 0x88, 0x90))
        assert 0 < count <= BUFFER_SIZE, f"a transfer of {count} bytes"
        if command & COMMAND_FROM_DEVICE:
            at = source - BUFFER
            self.dma_write(destination, self.buffer[at : at + count])
        else:
            at = destination - BUFFER
            self.buffer[at : at + count] = self.dma_read(source, count)
        assert 0 <= at <= BUFFER_SIZE - count, f"a transfer past the buffer: {at:#x}"
        if command & COMMAND_INTERRUPT:
            self.interrupt(CAUSE_DMA)

    def interrupt(self, cause: int) -> None:
        self.registers[0x24] |= cause | self.extra_cause
        if self.lost_interrupts:
            self.lost_interrupts -= 1
        else:
            self.raise_interrupt()
