# SPDX-License-Identifier: MIT
"""A machine that is a variation of another: one changed field is one call."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kvmiommu import System, machine
from kvmiommu.machine import MachineError

BASE = machine.load("q35-intel")


def test_a_field_is_changed_and_the_rest_stays() -> None:
    more = machine.load("q35-intel", memory="16G")
    assert more == dataclasses.replace(BASE, memory=16 << 30)
    assert machine.load("q35-intel", memory=16 << 30) == more


def test_options_and_modules_change_what_they_name() -> None:
    changed = machine.load(
        "q35-intel",
        options={"vfio_iommu_type1.dma_entry_limit": 4},
        modules={"kvm": False},
        fragmentation="2M",
        name="other",
    )
    assert changed.options == {**BASE.options, "vfio_iommu_type1.dma_entry_limit": 4}
    assert changed.modules == machine.Modules(kvm=False)
    assert (changed.fragmentation, changed.name) == (2 << 20, "other")
    assert machine.load("q35-intel", modules=machine.Modules(vfio=True, kvm=False)).modules == (
        machine.Modules(kvm=False)
    )
    with System(changed) as system, pytest.raises(FileNotFoundError):
        system.process().open("/dev/kvm", 2)


def test_fragmentation_can_be_taken_away() -> None:
    text = dataclasses.replace(BASE, fragmentation=65536).text()
    assert machine.parse(text).fragmentation == 65536
    assert machine.parse(text, fragmentation=None).fragmentation is None


def test_devices_and_iommus_are_replaced() -> None:
    iommu = dataclasses.replace(BASE.iommus[0], page_sizes=(4096,))
    edu = BASE.pci[1]
    changed = machine.load("q35-intel", iommus=(iommu,), pci=[edu], proposals=(), fixed=())
    assert changed.iommus == (iommu,)
    assert changed.pci == (edu,)
    device = machine.EmulatedDevice("0000-1111", 40)
    assert machine.load("q35-intel", emulated=[device]).emulated == (device,)


def test_a_file_is_changed_as_well(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(BASE.text(), encoding="utf-8")
    assert machine.load(file, memory="2G").memory == 2 << 30


def test_an_unknown_field_is_an_error_that_names_the_one_meant() -> None:
    with pytest.raises(MachineError) as caught:
        machine.load("q35-intel", memroy="16G", pic=())  # type: ignore[call-arg]
    first, second = caught.value.mistakes
    assert (first.key, first.line, first.suggestion) == ("memroy", None, "memory")
    assert (second.key, second.suggestion) == ("pic", "pci")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory": "16X"}, "machine.memory: found '16X'; expected a size"),
        ({"memory": 100}, "machine.memory: found 100; expected whole blocks"),
        ({"memory": None}, "machine.memory: found 'none'; expected a size"),
        ({"memory": 1.5}, "machine.memory: found 1.5; expected a size"),
        ({"options": {"iommu.strikt": True}}, 'options."iommu.strikt": found an unknown key'),
        ({"options": 3}, "options: found 3; expected a table [options]"),
        ({"modules": {"kvm": 1}}, "modules.kvm: found 1; expected true or false"),
        ({"pci": 3}, "pci: found 3; expected a list of tables"),
        ({"pci": [3]}, "pci[0]: found 3; expected a table"),
        ({"fixed": ("nothing",)}, "machine.fixed[0]: found 'nothing'; expected a list of"),
        ({"semantics": "domian"}, "(did you mean 'domain'?)"),
    ],
)
def test_a_wrong_change_is_reported_without_a_line_of_the_file(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(MachineError) as caught:
        machine.load("q35-intel", **changes)  # type: ignore[arg-type]
    (mistake,) = caught.value.mistakes
    assert message in str(mistake)
    assert mistake.line is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"memory": None}, "machine.memory: found None"),
        ({"memory": 1.5}, "machine.memory: found 1.5"),
        ({"memory": object()}, "machine.memory: found <object"),
        ({"fragmentation": lambda: 0}, "machine.fragmentation: found <function"),
        ({"options": None}, "options: found None"),
        ({"options": {}}, 'options."iommu.strict": found nothing'),
        ({"options": {**BASE.options, "x": 1}}, "options.x: found an unknown key"),
        ({"modules": 3}, "modules: found 3"),
        ({"iommus": (3,)}, "iommu[0]: found 3; expected a table"),
        ({"iommus": None}, "iommu: found None; expected a list of tables"),
        ({"name": 'a"b'}, """machine.name: found 'a"b'"""),
    ],
)
def test_a_machine_that_no_description_could_be_of_is_reported(
    changes: dict[str, object], found: str
) -> None:
    wrong = dataclasses.replace(BASE, **changes)  # type: ignore[arg-type]
    with pytest.raises(MachineError) as caught:
        System(wrong)
    assert found in str(caught.value)
    assert {mistake.line for mistake in caught.value.mistakes} == {None}


def test_a_machine_is_looked_at_again_when_its_options_change() -> None:
    options = dict(BASE.options)
    machine.check(changing := dataclasses.replace(BASE, options=options))
    options["iommu.strict"] = 3
    with pytest.raises(MachineError, match=r'options\."iommu\.strict": found 3'):
        machine.check(changing)
