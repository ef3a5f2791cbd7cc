# SPDX-License-Identifier: MIT
"""What a description must not say, and how all of its mistakes are reported at once."""

from __future__ import annotations

import pickle
import re
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest

from kvmiommu import System, iommu, machine, uapi
from kvmiommu.machine import MachineError, known
from kvmiommu.vfio import Container, Group

GUIDE = Path(__file__).parents[2] / "docs/how-to/write-a-machine.md"

SMALL = """\
[machine]
name = "small"
arch = "x86_64"
page_size = "4K"
memory = "1G"

[[iommu]]
name = "dmar0"
driver = "intel"
address_width = 39
page_sizes = ["4K", "2M"]

[[pci]]
address = "0000:00:02.0"
model = "edu"
iommu = "dmar0"
group = 1
driver = "vfio-pci"
vfio = 0
"""


def mistakes(text: str) -> list[str]:
    """The mistakes of a description, as they are reported, without the name of the file."""
    with pytest.raises(MachineError) as caught:
        machine.parse(text, "f")
    return [str(each).removeprefix("f:") for each in caught.value.mistakes]


def only(text: str) -> str:
    (mistake,) = mistakes(text)
    return mistake


def changed(*changes: tuple[str, str]) -> str:
    text = SMALL
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_all_mistakes_are_reported_at_once_unknown_keys_first_and_missing_ones_last() -> None:
    text = changed(
        ("memory = ", "memroy = "),
        ('"intel"', '"intle"'),
        ('name = "dmar0"\n', ""),
        ('["4K", "2M"]', '["4K", "3M"]'),
        ("group = 1", "gruop = 1"),
        ("vfio = 0\n", ""),
    )
    assert mistakes(text) == [
        "5: machine.memroy: found an unknown key; expected one of abi, arch, attach_after_map, "
        "firmware, fixed, fragmentation, interfaces, kernel, memory, memory_start, name, "
        "page_size, proposals, semantics (did you mean 'memory'?)",
        "16: pci[0].gruop: found an unknown key; expected one of address, bars, driver, group, "
        "interrupt_line, iommu, model, reserved, vfio (did you mean 'group'?)",
        "8: iommu[0].driver: found 'intle'; expected one of 'intel', 'amd', 'virtio', 'smmu_v3', "
        "'riscv', 'powernv', 'pseries' (did you mean 'intel'?)",
        "10: iommu[0].page_sizes: found ['4K', '3M']; expected a list of powers of two, "
        "ascending: ['4K', '2M', '1G']",
        "7: iommu[0].name: found nothing; expected a name: letters, digits, '_', '.' and '-'",
        "12: pci[0].vfio: found nothing; expected the number N of its /dev/vfio/devices/vfioN",
    ]


def test_a_mistake_is_data_too() -> None:
    with pytest.raises(MachineError) as caught:
        machine.parse(changed(("memory = ", "memroy = ")), "some.toml")
    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.line, mistake.key) == ("some.toml", 5, "machine.memroy")
    assert (mistake.found, mistake.suggestion) == ("an unknown key", "memory")
    assert mistake.expected.startswith("one of abi, arch")
    assert mistake.place == "some.toml:5"
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.mistakes == caught.value.mistakes


def test_a_document_without_a_machine_says_so() -> None:
    assert only("") == "1: machine: found nothing; expected a table [machine]"
    assert only("machine = 3") == "1: machine: found 3; expected a table [machine]"
    assert only(SMALL.replace("[machine]", "[machin]")).endswith("(did you mean 'machine'?)")


@pytest.mark.parametrize(
    ("text", "line"),
    [("[machine]\nname = ", 2), ("[machine]\n\nx = 1 y\n", 3), ('a = """\n\nx', 3), ("[", 1)],
)
def test_what_is_no_toml_is_reported_with_its_line(text: str, line: int) -> None:
    assert only(text).startswith(f"{line}: found no TOML (")


def test_a_file_that_is_no_text_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin1.toml"
    file.write_bytes(b'[machine]\nname = "caf\xe9"\n')
    with pytest.raises(MachineError, match=r"latin1\.toml:2: found no text \(byte 0xe9\)"):
        machine.load(file)


def test_lists_without_end_are_no_traceback() -> None:
    with pytest.raises(MachineError):
        machine.parse("a = " + "[" * 100_000)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"1G"', '"68K"', "5: machine.memory: found '68K'; expected whole blocks of '64K'"),
        (
            '"1G"',
            '"192K"\nfragmentation = "128K"',
            "6: machine.fragmentation: found '128K'; expected a power of two that divides the "
            "memory, '192K'",
        ),
        ('"1G"', '"1G"\nabi = "power"', "6: machine.abi: found 'power'; expected 'generic', as "),
        ('"1G"', '"1G"\nkernel = "6.13"', "found '6.13'; expected one of '6.12.117', '7.2.13'"),
        ('"1G"', '"1G"\nkernel = "6.12.107"', "expected one of '6.12.117', '7.2.13'"),
        ('"1G"', '"1G"\ninterfaces = "7.0"', "found '7.0'; expected one of '6.12', '7.2'"),
        (
            '"1G"',
            '"1G"\nkernel = "6.12.117"\ninterfaces = "7.2"',
            "6: machine.kernel: found '6.12.117'; expected '7.2.13', for the interfaces are those "
            "of 7.2",
        ),
        ('"edu"', '"edu"\ninterrupt_line = 256', "expected a whole number from 0 to 255"),
        (
            '"edu"',
            '"pci-testdev"\ninterrupt_line = 9',
            "expected no line, for pci-testdev has no interrupt pin",
        ),
        ('"1G"', '"1G"\n[modules]\niommufd = true', "7: modules.iommufd: found an unknown key; "),
        ('"intel"', '"smmu_v3"', "9: iommu[0].driver: found 'smmu_v3'; expected a driver of x86_"),
        ('"intel"', '"powernv"', "9: iommu[0].driver: found 'powernv'; expected a driver of x86_"),
        ('"2M"', '"8M"', "11: iommu[0].page_sizes: found ['4K', '8M']; expected page sizes of"),
        ('"edu"', '"edu"\nbars = [0xfe080000]', "16: pci[0].bars[0]: found 0xfe080000; expected"),
        ('"edu"', '"edu"\nbars = [0xfe080000]', "a multiple of the region's size, 0x100000"),
        ('"edu"', '"edu"\nbars = [0x100000, 0]', "expected at most 1 addresses: edu has 1 region"),
        ('"edu"', '"edu"\nbars = [0x100000000]', "found 0x100000000; expected an address of 32"),
        ('"edu"', '"edu"\nbars = ["a"]', "16: pci[0].bars[0]: found 'a'; expected an address"),
        ('"vfio-pci"\nvfio = 0', '""\n[[pci]]\naddress = "0000:00:03.0"\nmodel = "host"\n'
         "bars = [0]", "bars: found [0]; expected no address: host has 0 regions"),
    ],
)  # fmt: skip
def test_what_the_core_would_refuse_is_refused_with_its_line(
    old: str, new: str, message: str
) -> None:
    assert message in only(changed((old, new)))


@pytest.mark.parametrize(
    ("page_size", "sizes", "width", "message"),
    [
        ("4K", '["2M", "1G"]', 48, "too, the granules of its tables: the kernel would pick '2M'"),
        ("4K", '["4K", "8K"]', 48, "expected page sizes of smmu_v3: '4K', '16K', '64K', '2M'"),
        ("16K", '["4K", "2M"]', 48, ""),
        ("16K", '["4K", "2M"]', 52, ""),
        ("64K", '["4K", "64K", "512M"]', 52, ""),
    ],
)
def test_an_smmu_needs_a_granule(page_size: str, sizes: str, width: int, message: str) -> None:
    text = changed(
        ('"x86_64"', '"aarch64"'),
        ('page_size = "4K"', f'page_size = "{page_size}"'),
        ('"intel"', '"smmu_v3"'),
        ("39", str(width)),
        ('["4K", "2M"]', sizes),
    )
    if message:
        assert message in only(text)
    else:
        with System(machine.parse(text)) as system:  # the core takes it too
            process = system.process()
            container = Container(process)
            Group(process, 1).set_container(container)
            container.set_iommu()


def test_page_sizes_are_those_that_the_tables_have_levels_for() -> None:
    formats = iommu.formats()
    for driver, name in (("intel", "vtdss"), ("amd", "amdv1"), ("powernv", "tce")):
        assert sum(known.TABLE_PAGES[driver]) == formats[name].page_sizes
    assert not sum(known.TABLE_PAGES["riscv"]) & ~formats["riscv64"].page_sizes
    for granule, name in ((4, "armv8-s1"), (16, "armv8-s1-16k"), (64, "armv8-s1-64k")):
        assert sum(known.GRANULES[granule << 10]) == formats[name].page_sizes


@pytest.mark.parametrize("model", [model for model in known.MODELS if model != "host"])
def test_regions_of_a_model_are_those_that_the_device_has(model: str) -> None:
    with System(machine.parse(changed(('"edu"', f'"{model}"')))) as system:
        process = system.process()
        container = Container(process)
        group = Group(process, 1)
        group.set_container(container)
        container.set_iommu()
        device = group.get_device("0000:00:02.0")
        sizes = [device.get_region_info(index).size for index in range(6)]
    assert [size for size in sizes if size] == [bar.bytes for bar in known.MODELS[model]]


def test_the_least_machine_of_the_guide_works_with_vfio() -> None:
    least = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0]
    with System(machine.parse(least)) as system:
        process = system.process()
        container = Container(process)
        group = Group(process, 1)
        group.set_container(container)
        container.set_iommu()
        assert (
            process.ioctl(group.fd, uapi.vfio.VFIO_GROUP_GET_STATUS, bytearray(b"\x08" + bytes(7)))
            == 0
        )


@pytest.mark.parametrize(
    ("driver", "arch", "isolated"),
    [
        ("intel", "x86_64", True),
        ("amd", "x86_64", True),
        ("smmu_v3", "aarch64", True),
        ("virtio", "x86_64", False),
        ("riscv", "riscv64", False),
    ],
)
def test_interrupts_are_isolated_where_the_hardware_does_so(
    driver: str, arch: str, isolated: bool
) -> None:
    text = changed(('"x86_64"', f'"{arch}"'), ('"intel"', f'"{driver}"'))
    assert machine.parse(text).iommus[0].isolated_msi is isolated


BASE = machine.load("q35-intel")


@pytest.mark.parametrize("name", ["pci", "iommus", "modules", "options", "emulated"])
@pytest.mark.parametrize("value", [None, {}, 5, [None], [{}]])
def test_what_python_puts_in_the_place_of_records_is_checked(name: str, value: object) -> None:
    with pytest.raises(MachineError, match=name.rstrip("s")):
        System(replace(BASE, **{name: value}))  # type: ignore[arg-type]


FIELDS = [(0, each.name) for each in fields(BASE.iommus[0])]
FIELDS += [(1, each.name) for each in fields(BASE.pci[0])]


@pytest.mark.parametrize(("which", "name"), FIELDS)
@pytest.mark.parametrize("value", [None, [], {}, "", 1.5, -1, object()])
def test_what_python_puts_into_a_record_is_checked(which: int, name: str, value: object) -> None:
    """Whatever it is, the machine is made or refused: nothing else is raised."""
    record = (BASE.iommus, BASE.pci)[which][0]
    changed = (replace(record, **{name: value}),)  # type: ignore[arg-type]
    rest = BASE.pci[1:] if which else ()
    with suppress(MachineError):
        System(replace(BASE, **{("iommus", "pci")[which]: changed + rest})).close()  # type: ignore[arg-type]
