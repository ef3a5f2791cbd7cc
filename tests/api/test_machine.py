# SPDX-License-Identifier: MIT
"""Machine descriptions: what they say, and how they complain."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from kvmiommu import System, machine
from kvmiommu.machine import MachineError

SMALL = """
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
reserved = [
  { start = 0x1000, last = 0x1fff, type = "direct" },
  { start = 0xfee00000, last = 0xfeefffff, type = "msi" },
]
[[pci]]
address = "0000:00:02.0"
model = "edu"
iommu = "dmar0"
group = 1
driver = "vfio-pci"
vfio = 0
[[pci]]
address = "0000:00:1f.0"
model = "host"
"""


def changed(*changes: tuple[str, str]) -> str:
    """SMALL with each first text replaced by the second."""
    text = SMALL
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_q35_intel_is_the_machine_of_its_transcripts() -> None:
    q35 = machine.load("q35-intel")
    assert (q35.arch, q35.abi, q35.kernel, q35.interfaces) == (
        "x86_64",
        "generic",
        "6.12.117",
        "6.12",
    )
    (iommu,) = q35.iommus
    # VFIO_IOMMU_GET_INFO of type1-info.uapi: pgsizes, and the gap between its IOVA ranges
    assert iommu.pgsize_bitmap == 0x40201000
    assert iommu.reserved == (machine.Reserved(0xFEE00000, 0xFEEFFFFF, "msi"),)
    assert iommu.address_width == 48
    assert iommu.enforce_cache_coherency
    assert iommu.isolated_msi
    groups = {
        number: [(each.address, each.model, each.driver, each.vfio) for each in members]
        for number, members in q35.groups().items()
    }
    assert list(groups) == list(range(9))
    assert groups[1] == [("0000:00:02.0", "edu", "vfio-pci", 0)]
    assert groups[3] == [
        ("0000:00:04.0", "host", "", None),
        ("0000:02:01.0", "edu", "vfio-pci", 3),
        ("0000:02:02.0", "pci-testdev", "vfio-pci", 4),
    ]
    assert groups[4] == [("0000:00:05.0", "pci-testdev", "vfio-pci", 1)]
    assert groups[5][1:] == [
        ("0000:03:01.0", "edu", "vfio-pci", 5),
        ("0000:03:02.0", "host", "virtio-pci", None),
    ]
    assert groups[8] == [("0000:01:00.0", "e1000e", "vfio-pci", 2)]
    assert all(each.model == "host" for n in (0, 2, 6, 7) for each in q35.groups()[n])


def test_q35_amd_and_q35_virtio_differ_from_it_in_their_iommu() -> None:
    q35, amd, virtio = (machine.load(name) for name in ("q35-intel", "q35-amd", "q35-virtio"))
    # VFIO_IOMMU_GET_INFO of type1-info.uapi
    assert amd.iommus[0].pgsize_bitmap == 0xFFF7FFFFFF000
    assert virtio.iommus[0].pgsize_bitmap == 0xFFFFFFFFFFFFF000
    assert amd.iommus[0].reserved == (
        machine.Reserved(0xFEE00000, 0xFEEFFFFF, "msi"),
        machine.Reserved(0xFD00000000, 0xFFFFFFFFFF, "reserved"),
    )
    # Where the regions lie was only seen on the first machine.
    assert [
        dataclasses.replace(function, iommu=q35.pci[0].iommu, bars=()) for function in amd.pci
    ] == [dataclasses.replace(function, bars=()) for function in q35.pci]
    groups = virtio.groups()
    assert list(groups) == list(range(7))
    for number, address, vfio in ((4, "0000:00:02.0", 0), (5, "0000:00:05.0", 1)):
        (function,) = groups[number]
        assert (function.address, function.driver, function.vfio) == (address, "vfio-pci", vfio)
    assert [each.address for each in groups[6]] == ["0000:01:00.0"]
    # What is behind the PCIe-to-PCI bridges is behind no IOMMU, and vfio-pci does not bind to it.
    assert {each.address for each in virtio.pci if each.group is None} == {
        f"0000:{place}"
        for place in ("00:04.0", "00:06.0", "02:01.0", "02:02.0", "03:01.0", "03:02.0")
    }
    assert virtio.options["vfio_iommu_type1.allow_unsafe_interrupts"] is True


@pytest.mark.parametrize(
    ("driver", "coherent"), [("intel", False), ("amd", True), ("virtio", False)]
)
def test_amd_is_always_coherent_and_virtio_never(driver: str, coherent: bool) -> None:
    text = changed(('"intel"', f'"{driver}"'))
    assert machine.parse(text).iommus[0].enforce_cache_coherency is coherent
    other = changed(
        ('"intel"', f'"{driver}"\nenforce_cache_coherency = {str(not coherent).lower()}')
    )
    if driver == "intel":
        assert machine.parse(other).iommus[0].enforce_cache_coherency
    else:
        with pytest.raises(MachineError, match=f"expected {str(coherent).lower()}, as ever with"):
            machine.parse(other)


@pytest.mark.parametrize(
    ("start", "found"),
    [('"1G"', 1 << 30), ("0x80000000", 2 << 30), ('"8T"', 8 << 40)],
)
def test_ram_may_begin_elsewhere(start: str, found: int) -> None:
    parsed = machine.parse(changed(('memory = "1G"', f'memory = "1G"\nmemory_start = {start}')))
    assert parsed.memory_start == found
    assert machine.parse(parsed.text()) == parsed
    assert machine.parse(SMALL).memory_start == 4 << 30


@pytest.mark.parametrize("start", ["0", '"512M"', '"9T"', "-1", "true", '"1P"'])
def test_ram_does_not_begin_anywhere(start: str) -> None:
    with pytest.raises(MachineError, match=r"machine\.memory_start: found .*; expected"):
        machine.parse(changed(('memory = "1G"', f'memory = "1G"\nmemory_start = {start}')))


@pytest.mark.parametrize(
    ("driver", "more", "allowed"),
    [
        ("intel", '"8K"', "page sizes of intel: '4K', '2M', '1G'"),
        ("intel", '"512G"', "page sizes of intel: '4K', '2M', '1G'"),
        ("riscv", '"64K"', "page sizes of riscv: '4K', '2M', '1G', '512G'"),
        ("riscv", '"256T"', "page sizes of riscv: '4K', '2M', '1G', '512G'"),
    ],
)
def test_pages_that_the_drivers_tables_have_no_level_for(
    driver: str, more: str, allowed: str
) -> None:
    text = changed(
        ("x86_64", "x86_64" if driver == "intel" else "riscv64"),
        ('"intel"', f'"{driver}"'),
        ("address_width = 39", "address_width = 57"),
        ('["4K", "2M"]', f'["4K", {more}]'),
    )
    with pytest.raises(MachineError) as caught:
        machine.parse(text)
    assert f"iommu[0].page_sizes: found ['4K', {more}]".replace('"', "'") in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize("name", ["q35-intel", "virt-smmuv3", "powernv9"])
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"page_sizes": ()}, r"iommu\[0\].page_sizes: found \[\]"),
        ({"page_sizes": (3,)}, r"iommu\[0\].page_sizes: found \['3'\]"),
        ({"page_sizes": (-4096,)}, r"iommu\[0\].page_sizes: found \['-4K'\]"),
        ({"page_sizes": (1 << 64,)}, r"iommu\[0\].page_sizes: found"),
        ({"address_width": 0}, r"iommu\[0\].address_width: found 0"),
        ({"driver": "none"}, r"iommu\[0\].driver: found 'none'"),
    ],
)
def test_a_machine_that_was_changed_is_looked_at(
    name: str, changes: dict[str, object], found: str
) -> None:
    base = machine.load(name)
    iommu = dataclasses.replace(base.iommus[0], **changes)  # type: ignore[arg-type]
    wrong = dataclasses.replace(base, iommus=(iommu, *base.iommus[1:]))
    with pytest.raises(MachineError, match=found):
        System(wrong)
    with pytest.raises(MachineError, match=found):
        machine.check(wrong)


def test_every_machine_of_the_package_loads_and_reads_its_own_text_back() -> None:
    assert "q35-intel" in machine.names()
    for name in machine.names():
        loaded = machine.load(name)
        assert loaded.name == name
        assert machine.parse(loaded.text()) == loaded


def test_what_is_not_said_is_the_default() -> None:
    small = machine.parse(SMALL)
    assert small.abi == "generic"
    assert (small.kernel, small.interfaces, small.semantics) == ("6.12.117", "6.12", "domain")
    assert small.fragmentation is None
    assert small.modules == machine.Modules(vfio=True, kvm=True)
    assert small.options == {
        "vfio_iommu_type1.dma_entry_limit": 65535,
        "vfio_iommu_type1.disable_hugepages": False,
        "vfio_iommu_type1.allow_unsafe_interrupts": False,
        "vfio.enable_unsafe_noiommu_mode": False,
        "iommu.strict": True,
    }
    host = small.pci[1]
    assert (host.driver, host.iommu, host.group, host.vfio) == ("", None, None, None)


def test_what_is_said_is_read() -> None:
    text = changed(
        ('"1G"', '"32G"\nfragmentation = "64K"\ninterfaces = "6.12"'),
        (
            "[[iommu]]",
            '[modules]\nkvm = false\n[options]\n"vfio_iommu_type1.dma_entry_limit" = 7\n[[iommu]]',
        ),
    )
    read = machine.parse(text)
    assert (read.memory, read.fragmentation, read.interfaces) == (32 << 30, 65536, "6.12")
    assert read.modules.kvm is False
    assert read.options["vfio_iommu_type1.dma_entry_limit"] == 7
    assert machine.parse(read.text()) == read


def test_power_machines_encode_ioctls_as_power_does() -> None:
    power = machine.load("powernv9")
    assert power.abi == "power"
    assert machine.parse(power.text().replace('abi = "power"\n', "")) == power


def test_noiommu_lets_vfio_pci_have_a_function_without_iommu() -> None:
    without = ('iommu = "dmar0"\ngroup = 1\n', "")
    option = ("[[iommu]]", '[options]\n"vfio.enable_unsafe_noiommu_mode" = true\n[[iommu]]')
    with pytest.raises(
        MachineError, match=r"expected another driver, or an iommu, or 'vfio\.enable"
    ):
        machine.parse(changed(without))
    assert machine.parse(changed(without, option)).pci[0].vfio == 0


def test_repr_tells_the_machine_in_a_line() -> None:
    assert repr(machine.parse(SMALL)) == (
        "<Machine small: x86_64, 4K pages, 1G of memory, Linux 6.12.117, 1 IOMMU, "
        "2 PCI functions in 1 group>"
    )


def test_a_machine_is_frozen() -> None:
    small = machine.parse(SMALL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        small.name = "other"  # type: ignore[misc]


NEW_PCI = '[[pci]]\naddress = "{}"\nmodel = "edu"\n{}\n[[pci]]\naddress = "0000:00:1f.0"'
LAST_PCI = '[[pci]]\naddress = "0000:00:1f.0"'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"1G"', '"1G"\nmemroy = 1', "machine.memroy: found an unknown key; expected one of abi, "),
        ('"1G"', '"1G"\nmemroy = 1', "(did you mean 'memory'?)"),
        (
            "[[iommu]]",
            "[module]\n[[iommu]]",
            "module: found an unknown key; expected one of emulated, iommu",
        ),
        ('name = "small"\n', "", "machine.name: found nothing; expected a name: letters, digits"),
        ('"small"', '"a b"', "machine.name: found 'a b'; expected a name: letters, digits, '_'"),
        ('"x86_64"', '"x86"', "machine.arch: found 'x86'; expected one of 'x86_64', 'ppc64le', "),
        ('"x86_64"', '"x86"', "(did you mean 'x86_64'?)"),
        ('page_size = "4K"', "", "machine.page_size: found nothing; expected a size: '4K', '2M'"),
        (
            'page_size = "4K"',
            'page_size = "64K"',
            "machine.page_size: found '64K'; expected a page size of x86_64: '4K'",
        ),
        ('"1G"', '"33G"', "memory: found '33G'; expected whole blocks of '64K', at most '32G'"),
        ('"1G"', '"1 G"', "machine.memory: found '1 G'; expected a size: '4K', '2M', '1G' or"),
        ('"1G"', "4097", "machine.memory: found 4097; expected whole blocks of '64K'"),
        ('"1G"', "true", "machine.memory: found true; expected a size"),
        (
            '"1G"',
            '"1G"\ninterfaces = "6.1"',
            "interfaces: found '6.1'; expected one of '6.12', '7.2' (did you mean '6.12'?)",
        ),
        (
            '"1G"',
            '"1G"\nproposals = ["ioasid"]',
            "machine.proposals[0]: found 'ioasid'; expected a list of different names ('spapr-",
        ),
        (
            '"1G"',
            '"1G"\nfragmentation = "3K"',
            "machine.fragmentation: found '3K'; expected 'none' or a power of two from '4K' on",
        ),
        (
            '"1G"',
            '"1G"\nfragmentation = "2K"',
            "machine.fragmentation: found '2K'; expected 'none' or a power of two from '4K' on",
        ),
        (
            "[[iommu]]",
            "[modules]\nvfio = 1\n[[iommu]]",
            "modules.vfio: found 1; expected true or false",
        ),
        (
            "[[iommu]]",
            '[options]\n"vfio_iommu_type1.dma_entry_limit" = -1\n[[iommu]]',
            'options."vfio_iommu_type1.dma_entry_limit": found -1; expected a whole number from 0',
        ),
        (
            "[[iommu]]",
            '[options]\n"vfio_iommu_type1.dma_entry_limits" = 1\n[[iommu]]',
            "(did you mean 'vfio_iommu_type1.dma_entry_limit'?)",
        ),
        ('"intel"', '"inte"', "iommu[0].driver: found 'inte'; expected one of 'intel', 'amd', "),
        ("39", "65", "iommu[0].address_width: found 65; expected a whole number from 32 to 64"),
        ("39", '"39"', "iommu[0].address_width: found '39'; expected a whole number from 32"),
        (
            '["4K", "2M"]',
            '["4K", "3M"]',
            "iommu[0].page_sizes: found ['4K', '3M']; expected a list of powers of two, ascending",
        ),
        ('["4K", "2M"]', '["2M", "4K"]', "expected a list of powers of two, ascending"),
        ('["4K", "2M"]', "[]", "iommu[0].page_sizes: found []; expected a list of powers of two"),
        (
            'driver = "intel"\naddress_width = 39\npage_sizes = ["4K", "2M"]',
            'driver = "amd"\naddress_width = 39\npage_sizes = ["4K", "1T"]',
            "expected sizes within 39 bits of address",
        ),
        (
            "last = 0x1fff",
            "last = 0xfff",
            "iommu[0].reserved[0].last: found 0xfff; expected an address from start on, 0x1000",
        ),
        (
            "last = 0x1fff",
            "last = 0xfee00fff",
            "reserved[1]: found 0xfee00000-0xfeefffff; expected a region behind 0xfee00fff",
        ),
        (
            "last = 0x1fff",
            "last = 0x2000",
            "iommu[0].reserved[0]: found 0x1000-0x2000; expected whole pages of 4K",
        ),
        (
            '"direct"',
            '"directt"',
            "iommu[0].reserved[0].type: found 'directt'; expected one of 'direct', 'direct-rel",
        ),
        (
            "vfio = 0",
            'vfio = 0\nreserved = [{ start = 0x1000, last = 0x1800, type = "direct" }]',
            "pci[0].reserved[0]: found 0x1000-0x1800; expected whole pages of 4K",
        ),
        (
            'model = "host"',
            'model = "host"\nreserved = [{ start = 0x1000, last = 0x1fff, type = "direct" }]',
            "pci[1].reserved: found ",
        ),
        (
            "[[iommu]]",
            '[[iommu]]\nname = "dmar0"\ndriver = "amd"\naddress_width = 48\n'
            'page_sizes = ["4K"]\n[[iommu]]',
            "iommu[1].name: found 'dmar0'; expected another value, iommu[0].name has it",
        ),
        (
            '"0000:00:02.0"',
            '"00:02.0"',
            "pci[0].address: found '00:02.0'; expected dddd:bb:dd.f in lower-case hexadecimal",
        ),
        ('"0000:00:02.0"', '"0000:00:20.0"', "pci[0].address: found '0000:00:20.0'; expected dddd"),
        (
            '"0000:00:02.0"',
            '"0000:00:1f.0"',
            "pci[1].address: found '0000:00:1f.0'; expected another value, pci[0].address has it",
        ),
        ('"edu"', '"ede"', "pci[0].model: found 'ede'; expected one of 'edu', 'pci-testdev', "),
        (
            'iommu = "dmar0"',
            'iommu = "dmar1"',
            "pci[0].iommu: found 'dmar1'; expected one of 'dmar0' (did you mean 'dmar0'?)",
        ),
        ("group = 1\n", "", "pci[0].group: found nothing; expected a group number, for it has the"),
        ('iommu = "dmar0"\n', "", "pci[0].group: found 1; expected no group without an iommu"),
        ("vfio = 0\n", "", "pci[0].vfio: found nothing; expected the number N of its /dev/vfio"),
        ('"vfio-pci"', '"e1000e"', "pci[0].vfio: found 0; expected no number, or driver = 'vfio-"),
        (
            '"edu"',
            '"host"',
            "pci[0].driver: found 'vfio-pci'; expected a host's driver, or a model",
        ),
        (
            "[[iommu]]",
            "[modules]\nvfio = false\n[[iommu]]",
            "pci[0].driver: found 'vfio-pci'; expected another driver, or modules.vfio = true",
        ),
        (
            LAST_PCI,
            NEW_PCI.format(
                "0000:00:03.0", 'iommu = "dmar0"\ngroup = 1\ndriver = "vfio-pci"\nvfio = 0'
            ),
            "pci[1].vfio: found 0; expected another value, pci[0].vfio has it",
        ),
        (
            LAST_PCI,
            '[[iommu]]\nname = "dmar1"\ndriver = "intel"\naddress_width = 39\n'
            'page_sizes = ["4K"]\n' + NEW_PCI.format("0000:00:03.0", 'iommu = "dmar1"\ngroup = 1'),
            "pci[1].iommu: found 'dmar1'; expected 'dmar0', the iommu of 0000:00:02.0, which is in "
            "group 1 too",
        ),
        ("[[iommu]]", "[[iommu]", "small.toml:7: found no TOML ("),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_its_cure(
    old: str, new: str, message: str
) -> None:
    with pytest.raises(MachineError) as caught:
        machine.parse(changed((old, new)), "small.toml")
    assert re.match(r"small\.toml:[0-9]+: ", str(caught.value))
    assert message in str(caught.value)
    assert len(caught.value.mistakes) == str(caught.value).count("\n") + 1


def test_load_takes_a_name_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    assert machine.load(file) == machine.load(str(file)) == machine.parse(SMALL)


def test_load_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        machine.load("q35-intle")
    text = str(caught.value)
    assert text.startswith("machine: found the unknown name 'q35-intle'; expected one of ")
    assert ", or a .toml file (did you mean 'q35-intel'?)" in text
    with pytest.raises(MachineError, match=r"none\.toml: found no readable file \(No such file"):
        machine.load(tmp_path / "none.toml")


def test_kernel_and_interfaces_follow_from_each_other() -> None:
    def of(text: str) -> tuple[str, str]:
        read = machine.parse(changed(('"1G"', f'"1G"\n{text}')), "small.toml")
        return read.kernel, read.interfaces

    assert of("") == ("6.12.117", "6.12")
    assert of('kernel = "7.2.13"') == ("7.2.13", "7.2")
    assert of('interfaces = "7.2"') == ("7.2.13", "7.2")
    assert of('kernel = "7.2.13"\ninterfaces = "7.2"') == ("7.2.13", "7.2")


def test_a_change_of_the_release_takes_the_other_key_along() -> None:
    newer = machine.load("q35-intel", interfaces="7.2")
    assert (newer.kernel, newer.interfaces) == ("7.2.13", "7.2")
    older = machine.load("q35-intel-7.2", kernel="6.12.117")
    assert (older.kernel, older.interfaces) == ("6.12.117", "6.12")


def test_power_has_no_recorded_release_with_newer_interfaces() -> None:
    with pytest.raises(machine.MachineError, match=r"expected '6\.12', the only one"):
        machine.load("pseries", interfaces="7.2")


def test_unmapping_to_the_last_byte_works_since_7_2() -> None:
    bug = "type1-unmap-to-the-last-byte"
    assert bug in machine.load("q35-intel-7.2").does_without()
    assert bug not in machine.load("q35-intel").does_without()
