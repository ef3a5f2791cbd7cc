# SPDX-License-Identifier: MIT
"""Device models in Python: a function of the machine whose hardware is a class of the test's."""

from __future__ import annotations

import dataclasses
import errno
import gc
import os
import struct
import sys
import threading
import weakref
from collections.abc import Callable
from typing import ClassVar

import pytest

from boards import group_of
from kvmiommu import System, machine, pci
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Device, Group

ADDRESS = "0000:00:05.0"
CONFIG = 7
MEMORY, MASTER = 0x2, 0x4
PRIVATE_ANONYMOUS = 0x22


class Copier(pci.DeviceModel):
    """Stores at 0, 8, 16: source, destination, bytes to copy; the last one starts it."""

    vendor_id = 0xCAFE
    device_id = 0x0001
    class_code = 0x088000
    bars: ClassVar = {0: pci.Bar(0x2000, memory=((0x1000, 0x1FFF),)), 2: pci.Bar(32, io=True)}

    def __init__(self) -> None:
        super().__init__()
        self.registers: dict[int, int] = {}
        self.calls: list[tuple[object, ...]] = []
        self.error: OSError | None = None

    def read(self, bar: int, offset: int, size: int) -> int:
        self.calls.append(("read", bar, offset, size))
        if offset == 0xF00:
            raise RuntimeError("no such register")
        return self.registers.get(offset, 0)

    def write(self, bar: int, offset: int, size: int, value: int) -> None:
        self.calls.append(("write", bar, offset, size, value))
        self.registers[offset] = value
        if offset == 16:
            try:
                self.dma_write(self.registers[8], self.dma_read(self.registers[0], value))
            except OSError as error:
                self.error = error
            self.raise_interrupt()

    def reset(self) -> None:
        self.registers.clear()


class Setup:
    def __init__(self, system: System) -> None:
        self.process: Process = system.process()
        self.container = Container(self.process)
        self.group = Group(self.process, 4)
        self.group.set_container(self.container)
        self.container.set_iommu()
        self.device: Device = self.group.get_device(ADDRESS)
        self.device.write(CONFIG, 4, struct.pack("<H", MEMORY | MASTER))
        model = system.models[ADDRESS]
        assert isinstance(model, Copier)
        self.model = model


def test_the_model_is_the_device() -> None:
    with System(models={ADDRESS: Copier}) as system:
        setup = Setup(system)
        assert setup.device.read(CONFIG, 0, 4) == bytes.fromhex("feca0100")
        assert setup.device.get_region_info(0).size == 0x2000
        setup.device.write(0, 0x20, struct.pack("<I", 77))
        assert setup.device.read(0, 0x20, 4) == struct.pack("<I", 77)
        assert setup.device.read(2, 0, 1) == b"\xff"  # its ports are not decoded
        assert setup.model.calls == [("write", 0, 0x20, 4, 77), ("read", 0, 0x20, 4)]
        setup.device.reset()
        assert setup.device.read(0, 0x20, 4) == bytes(4)


def test_dma_and_interrupts() -> None:
    with System(models={ADDRESS: Copier}) as system:
        setup = Setup(system)
        buffer = setup.process.mmap(0x2000, 3, PRIVATE_ANONYMOUS)
        setup.container.map_dma(0x10000, buffer, 0x2000)
        setup.process.poke(buffer, b"to be copied")
        irq = setup.process.eventfd(0, os.O_NONBLOCK)
        setup.device.msi.set_eventfds([irq])
        for offset, value in ((0, 0x10000), (8, 0x11000), (16, 12)):
            setup.device.write(0, offset, struct.pack("<Q", value))
        assert setup.process.peek(buffer + 0x1000, 12) == b"to be copied"
        assert setup.process.read(irq, 8) == struct.pack("<Q", 1)
        assert setup.model.error is None
        setup.device.write(0, 8, struct.pack("<Q", 0x20000))
        setup.device.write(0, 16, struct.pack("<Q", 12))
        assert "nothing is mapped there" in str(setup.model.error)
        assert [fault.iova for fault in system.dma_faults()] == [0x20000]


def test_pages_of_memory_are_shared_and_others_are_trapped() -> None:
    with System(models={ADDRESS: Copier}) as system:
        setup = Setup(system)
        bar = setup.device.region(0).mmap()
        bar.poke(0x1004, b"memory")
        assert setup.device.read(0, 0x1004, 6) == b"memory"
        assert setup.model.calls == []
        bar.poke(0x20, b"\1\2\3\4")
        assert setup.model.calls == [("write", 0, 0x20, 4, 0x04030201)]
        assert bar.peek(0x20, 4) == b"\1\2\3\4"


class Short(Copier):
    """4 KiB of memory, and registers that are all ones behind it."""

    bars: ClassVar = {0: pci.Bar(0x20000, memory=((0, 0xFFF), (0x10000, 0x1FFFF)))}

    def read(self, bar: int, offset: int, size: int) -> int:
        return 0x1111111111111111


def test_a_page_that_is_not_all_memory_is_trapped_as_a_whole() -> None:
    board = machine.load("virt-smmuv3-64k")
    address = "0000:00:02.0"
    with System(board, models={address: Short}) as system:
        process = system.process()
        container, group = Container(process), Group(process, group_of(board, address))
        group.set_container(container)
        container.set_iommu()
        device = group.get_device(address)
        device.write(CONFIG, 4, struct.pack("<H", MEMORY | MASTER))
        bar = device.region(0).mmap()
        bar.poke(0x10, b"short")
        assert bar.peek(0x10, 5) == device.read(0, 0x10, 5) == b"short"
        for offset in (0x1000, 0x2000, 0xFFF8):
            assert bar.peek(offset, 8) == b"\x11" * 8
        bar.poke(0x10000, b"page")
        assert device.read(0, 0x10000, 4) == b"page"


class Large(Copier):
    """As much memory as no machine of 1 GiB has."""

    bars: ClassVar = {0: pci.Bar(1 << 31, memory=((0, (1 << 31) - 1),))}


def test_devices_with_more_memory_than_their_machine_leave_nothing_of_it() -> None:
    board = dataclasses.replace(machine.load("q35-intel"), memory=1 << 30)
    gc.collect()  # what other tests left closes nothing in between
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(OSError, match="bytes of memory") as refused:
            System(board, models={ADDRESS: Large})
        assert refused.value.errno == errno.ENOMEM
        del refused
    assert len(os.listdir("/proc/self/fd")) == before


class Raiser(pci.DeviceModel):
    """Raises what a test puts into it, in each of its methods."""

    bars: ClassVar = {0: pci.Bar(0x1000)}

    def __init__(self) -> None:
        super().__init__()
        self.raised: dict[str, list[BaseException]] = {"read": [], "write": [], "reset": []}
        self.value: object = 0
        self.calls = 0

    def act(self, method: str) -> None:
        self.calls += 1
        if self.raised[method]:
            raise self.raised[method].pop(0)

    def read(self, bar: int, offset: int, size: int) -> int:
        self.act("read")
        return self.value  # type: ignore[return-value]

    def write(self, bar: int, offset: int, size: int, value: int) -> None:
        self.act("write")

    def reset(self) -> None:
        self.act("reset")


def raiser(system: System) -> tuple[Process, Device, Raiser]:
    process = system.process()
    container = Container(process)
    group = Group(process, 4)
    group.set_container(container)
    container.set_iommu()
    device = group.get_device(ADDRESS)
    device.write(CONFIG, 4, struct.pack("<H", MEMORY))
    model = system.models[ADDRESS]
    assert isinstance(model, Raiser)
    return process, device, model


def test_what_a_model_raises_comes_out_of_the_call_that_led_to_it() -> None:
    with System(models={ADDRESS: Raiser}) as system:
        _, device, model = raiser(system)
        bar = device.region(0).mmap()
        calls: list[tuple[str, Callable[[], object]]] = [
            ("read", lambda: device.read(0, 0, 4)),
            ("write", lambda: device.write(0, 0, bytes(4))),
            ("reset", device.reset),
            ("read", lambda: bar.peek(0, 4)),
            ("write", lambda: bar.poke(0, bytes(4))),
        ]
        for method, call in calls:
            for error in (AssertionError("no such register"), KeyboardInterrupt(), SystemExit(3)):
                model.raised[method] = [error]
                with pytest.raises(type(error)) as raised:
                    call()
                assert raised.value is error
                call()


def test_the_first_exception_of_a_call_wins_and_names_the_others() -> None:
    with System(models={ADDRESS: Raiser}) as system:
        _, device, model = raiser(system)
        model.raised["write"] = [ValueError("first"), KeyError("second")]
        with pytest.raises(ValueError, match="first") as raised:
            device.write(0, 0, bytes(16))
        assert raised.value.__notes__ == ["Raised later in the same call: KeyError('second')"]


def test_after_an_interrupt_no_model_is_called() -> None:
    with System(models={ADDRESS: Raiser}) as system:
        _, device, model = raiser(system)
        model.raised["write"] = [ValueError("first"), KeyboardInterrupt()]
        model.calls = 0
        with pytest.raises(KeyboardInterrupt) as raised:
            device.write(0, 0, bytes(64))
        assert model.calls == 2
        assert isinstance(raised.value.__context__, ValueError)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1 << 70, OverflowError),
        (1 << 32, OverflowError),
        (-1, OverflowError),
        ("7", TypeError),
        (None, TypeError),
        (7.0, TypeError),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(value: object, error: type[Exception]) -> None:
    with System(models={ADDRESS: Raiser}) as system:
        _, device, model = raiser(system)
        model.value = value
        with pytest.raises(error):
            device.read(0, 0, 4)
        model.value = 0xFFFFFFFF
        assert device.read(0, 0, 4) == b"\xff" * 4


def test_close_raises_what_no_call_led_to() -> None:
    system = System(models={ADDRESS: Raiser})
    process, device, model = raiser(system)
    model.raised["reset"] = [RuntimeError("at the last close")]
    del process, device  # the finalizer closes the device, which is reset
    gc.collect()
    with pytest.raises(RuntimeError, match="at the last close"):
        system.close()
    system.close()


def test_the_plugin_fails_a_test_whose_model_raised(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import struct
        from kvmiommu import System, pci
        from kvmiommu.vfio import Container, Group
        class Model(pci.DeviceModel):
            bars = {0: pci.Bar(0x1000)}
            armed = False
            def reset(self): assert not self.armed
        def use(system):
            process = system.process()
            container, group = Container(process), Group(process, 4)
            group.set_container(container); container.set_iommu()
            return group.get_device("0000:00:05.0")
        kept = []
        def test_gone():
            system = System(models={"0000:00:05.0": Model})
            device = use(system)
            system.models["0000:00:05.0"].armed = True
        def test_kept():
            system = System(models={"0000:00:05.0": Model})
            kept.append(system)
            device = use(system)
            system.models["0000:00:05.0"].armed = True
        def test_right():
            use(System(models={"0000:00:05.0": Model}))
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3, errors=2)


def test_several_threads_use_one_model() -> None:
    with System(models={ADDRESS: Copier}) as system:
        setup = Setup(system)

        def work() -> None:
            for i in range(50):
                setup.device.write(0, 0x40, struct.pack("<I", i))
                setup.device.read(0, 0x40, 4)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(setup.model.calls) == 4 * 100


def test_a_model_belongs_to_one_machine() -> None:
    model = Copier()
    with pytest.raises(ValueError, match="no device of a machine"):
        model.raise_interrupt()
    with System(models={ADDRESS: lambda: model}) as system:
        with pytest.raises(ValueError, match="already"):
            System(models={ADDRESS: lambda: model})
        assert system.models[ADDRESS] is model
    del system


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        pci.Bar(100)
    with pytest.raises(ValueError, match="no whole pages"):
        pci.Bar(0x2000, memory=((0, 0x2000),))
    with pytest.raises(ValueError, match="no PCI function"):
        System(models={"0000:7f:00.0": Copier})
    with pytest.raises(TypeError, match="DeviceModel"):
        System(models={ADDRESS: object})  # type: ignore[dict-item]

    class Crowded(pci.DeviceModel):
        bars: ClassVar = {5: pci.Bar(0x1000, wide=True)}

    with pytest.raises(ValueError, match="no place"):
        System(models={ADDRESS: Crowded})

    for index in (-1, 6, 100000, 1 << 70):
        with pytest.raises(ValueError, match="no place"):
            System(models={ADDRESS: type("M", (pci.DeviceModel,), {"bars": {index: pci.Bar(16)}})})
    for name, value in {
        "vendor_id": 0x10000,
        "class_code": 1 << 24,
        "interrupt_pin": 5,
        "msi_vectors": 3,
        "revision": -1,
    }.items():
        with pytest.raises(ValueError, match="must be"):
            System(models={ADDRESS: type("M", (pci.DeviceModel,), {name: value})})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"vendor_id": "x"}, "vendor_id of .* is 'x': must be an integer"),
        ({"function_level_reset": 1}, "function_level_reset of .* is 1: must be True or False"),
        ({"bars": [pci.Bar(16)]}, "bars of .* must be a mapping"),
        ({"bars": None}, "bars of .* is None: must be a mapping"),
        ({"bars": {0: 4096}}, "bars of .* has 0: 4096: must be numbers and kvmiommu.pci.Bar"),
        ({"bars": {"0": pci.Bar(16)}}, "bars of .* has '0': "),
    ],
)
def test_attributes_of_a_wrong_type_are_named(attributes: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        System(models={ADDRESS: type("M", (pci.DeviceModel,), attributes)})


@pytest.mark.parametrize("models", [[ADDRESS], {ADDRESS: 5}])
def test_models_of_a_wrong_type_are_named(models: object) -> None:
    with pytest.raises(TypeError, match=r"^models.* is .*: must be "):
        System(models=models)  # type: ignore[arg-type]


def test_attributes_are_looked_at_once() -> None:
    asked: list[int] = []

    class Changing(pci.DeviceModel):
        @property
        def bars(self) -> dict[int, pci.Bar]:  # type: ignore[override]
            asked.append(1)
            return {0 if len(asked) == 1 else 100000: pci.Bar(4096)}

    with System(models={ADDRESS: Changing}):
        assert asked == [1]


def test_a_write_may_drop_the_last_reference_to_its_machine() -> None:
    world: dict[str, object] = {}

    class Forgetful(pci.DeviceModel):
        bars: ClassVar = {0: pci.Bar(4096)}

        def write(self, bar: int, offset: int, size: int, value: int) -> None:
            world.clear()
            gc.collect()

    system = System(models={ADDRESS: Forgetful})
    process = system.process()
    container, group = Container(process), Group(process, 4)
    group.set_container(container)
    container.set_iommu()
    device = group.get_device(ADDRESS)
    device.write(CONFIG, 4, struct.pack("<H", MEMORY | MASTER))
    kick = process.eventfd(0, os.O_NONBLOCK)
    device.intx.set_eventfds([kick])
    device.ioeventfd(0, 0, 1, kick)
    model = system.models[ADDRESS]
    gone = weakref.ref(system)
    world["all"] = [system, process, container, group, device]
    del system, process, container, group, device
    model.raise_interrupt()
    assert gone() is None
    with pytest.raises(ValueError, match="no device of a machine"):
        model.raise_interrupt()


def test_a_machine_stays_until_threads_at_its_hardware_return() -> None:
    """They hold the model, not the machine, and are without the GIL while they are in the core."""
    model = Copier()
    machines = 60
    unexpected: list[BaseException] = []
    gone = threading.Event()

    def use() -> None:
        while not gone.is_set():
            try:
                model.lower_interrupt()
                model.dma_read(0x1000, 64)
            except (OSError, ValueError) as refused:
                # It is no bus master; or it is nobody's.
                if isinstance(refused, ValueError) and "no device of a machine" not in str(refused):
                    unexpected.append(refused)
            except BaseException as error:
                unexpected.append(error)
                return

    threads = [threading.Thread(target=use) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(machines):
            while True:
                try:
                    system = System(models={ADDRESS: lambda: model})
                except ValueError:  # one of the threads still has the machine before
                    continue
                break
            with system:
                assert system.models[ADDRESS] is model
            del system
    finally:
        sys.setswitchinterval(before)
        gone.set()
        for thread in threads:
            thread.join()
    assert unexpected == []
    with pytest.raises(ValueError, match="no device of a machine"):
        model.lower_interrupt()
