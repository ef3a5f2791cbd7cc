# SPDX-License-Identifier: MIT
"""Machine descriptions: what an emulated system is made of.

A description is a TOML file, `machines/NAME.toml` for those that come with the package. `load`
reads and checks one; what it returns is data alone, and the core builds the machine from it.

Each mistake is a `MachineError` that names the file, the key, what stands there and what may.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar, cast

from kvmiommu.uapi import Abi

__all__ = [
    "ATTACH_AFTER_MAP",
    "IOMMU_DRIVERS",
    "SEMANTICS",
    "EmulatedDevice",
    "Iommu",
    "Machine",
    "MachineError",
    "Modules",
    "PciFunction",
    "Reserved",
    "load",
    "names",
    "parse",
]

_MACHINES = Path(__file__).with_name("machines")

# -- what may stand in a description ---------------------------------------------------------------

#: Architectures and the page sizes their kernels are built with, in bytes.
_PAGE_SIZES: Mapping[str, tuple[int, ...]] = {
    "x86_64": (4096,),
    "ppc64le": (4096, 65536),
    "aarch64": (4096, 16384, 65536),
    "riscv64": (4096,),
}
_ABIS: tuple[Abi, ...] = ("generic", "power")
_INTERFACES = ("6.12", "7.0")
#: What a domain may span: docs/explanation/semantics.md. In the core's order.
SEMANTICS = ("operations", "domain", "common", "tables", "instance", "legacy", "device")
#: What becomes of a device that is attached late and lacks page sizes in use. In the core's order.
ATTACH_AFTER_MAP = ("refuse", "rebuild", "second-table")
#: What was proposed and never merged: docs/explanation/proposals-of-2013.md.
_PROPOSALS = (
    "spapr-tce-iommu-ioctl",
    "spapr-tce-iommu-device",
    "spapr-tce-iommu-links",
    "spapr-tce-devices",
)
#: They give one number to different devices.
_EITHER_PROPOSAL = {
    "spapr-tce-iommu-links": ("spapr-tce-iommu-device", "spapr-tce-devices"),
}
#: Bugs of the real kernel that can be left out: docs/reference/kernel-bugs.md.
_FIXED = (
    "type1-dirty-stale-bits",
    "type1-unmap-to-the-last-byte",
    "spapr-check-answers-one",
    "spapr-unregister-while-mapped",
    "spapr-failed-window-stays-charged",
    "spapr-removed-window-stays-attached",
    "spapr-indirect-maps-without-rights",
    "spapr-only-first-page-checked",
    "spapr-real-mode-forgets-pages",
    "spapr-links-pin-for-reading",
)
#: Those that a release does without: it, and what came later.
_FIXED_SINCE: Mapping[str, tuple[int, ...]] = {"spapr-only-first-page-checked": (6, 12, 117)}
#: The IOMMU drivers.
IOMMU_DRIVERS = ("intel", "amd", "virtio", "smmu_v3", "riscv", "powernv", "pseries")
#: Those of POWER, which keep windows and not page tables.
_WINDOWS = ("powernv", "pseries")
#: Whether all DMA can be made to snoop the caches; None where the IOMMU's registers say so.
_COHERENCY: Mapping[str, bool | None] = {
    "intel": None,
    "amd": True,
    "virtio": False,
    "smmu_v3": False,
    "riscv": False,
    "powernv": False,
    "pseries": False,
}
#: Widths of an iova that the driver has tables for, where not every width will do.
_WIDTHS: Mapping[str, range | tuple[int, ...]] = {
    "intel": (39, 48, 57),
    "smmu_v3": range(32, 53),
    "riscv": (39, 48, 57),
    "powernv": (64,),
    "pseries": (64,),
}
#: Page sizes that the tables have a level for, where the driver does not pick those itself.
_PAGES: Mapping[str, tuple[int, ...]] = {
    "intel": (4 << 10, 2 << 20, 1 << 30),
    "riscv": (4 << 10, 2 << 20, 1 << 30, 512 << 30),
}
_SMALLEST_WINDOW, _LARGEST_WINDOW = 64 << 10, 2 << 30
_RESERVED_TYPES = ("direct", "direct-relaxable", "reserved", "msi", "sw-msi")
_MODELS = ("edu", "pci-testdev", "e1000e", "nec-usb-xhci", "host")
_MOST_MEMORY = 32 << 30
_MEMORY_START, _LAST_MEMORY_START = 4 << 30, 8 << 40
_VFIO_PCI = "vfio-pci"
_NOIOMMU = "vfio.enable_unsafe_noiommu_mode"

#: Parameters of the kernel and its modules, under their names, with their defaults.
_OPTIONS: Mapping[str, int | bool] = {
    "vfio_iommu_type1.dma_entry_limit": 65535,
    "vfio_iommu_type1.disable_hugepages": False,
    "vfio_iommu_type1.allow_unsafe_interrupts": False,
    _NOIOMMU: False,
    "iommu.strict": True,
}
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_INT = (1 << 31) - 1

_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SIZE = re.compile(r"([1-9][0-9]*)([KMGT]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class MachineError(ValueError):
    """A description that is not right: the file, the key, what was found, what is allowed."""

    def __init__(self, source: str, key: str, found: str, allowed: str) -> None:
        self.source = source
        self.key = key
        self.found = found
        self.allowed = allowed
        place = f"{source}: {key}" if key else source
        super().__init__(f"{place}: found {found}; expected {allowed}")


# -- the description as data -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Modules:
    """The kernel modules that are loaded."""

    vfio: bool = True
    iommufd: bool = True
    kvm: bool = True


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reserved region of an IOMMU, [start, last]; the types are those of `reserved_regions`."""

    start: int
    last: int
    type: str


@dataclass(frozen=True, slots=True)
class Iommu:
    """One IOMMU. `page_sizes` in bytes, ascending; `address_width` in bits of the IOVA.

    `dirty_tracking` says whether it marks pages that devices write to, `stage` which stage of
    translation an SMMU has. On POWER `window_size` is that of the default window, in bytes,
    `table_levels` how many levels a table can have, `eeh` whether errors of endpoints are handled.
    """

    name: str
    driver: str
    address_width: int
    page_sizes: tuple[int, ...]
    enforce_cache_coherency: bool = False
    isolated_msi: bool = False
    dirty_tracking: bool = False
    stage: int = 1
    window_size: int = 0
    table_levels: int = 1
    eeh: bool = False
    reserved: tuple[Reserved, ...] = ()

    @property
    def pgsize_bitmap(self) -> int:
        """The page sizes, each as its own bit."""
        return sum(self.page_sizes)


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One PCI function. `vfio` is N of /dev/vfio/devices/vfioN, None unless vfio-pci drives it.

    `bars` are the bus addresses of its regions, in their order; those left out are chosen.
    """

    address: str
    model: str
    driver: str = ""
    iommu: str | None = None
    group: int | None = None
    vfio: int | None = None
    bars: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EmulatedDevice:
    """A device without an IOMMU, as mediated devices are: its driver pins the pages that it uses.

    It has an IOMMU group of its own; `name` is what VFIO_GROUP_GET_DEVICE_FD takes.
    """

    name: str
    group: int


@dataclass(frozen=True, slots=True, repr=False)
class Machine:
    """A machine. Sizes in bytes; `fragmentation` is None or the longest contiguous block."""

    name: str
    arch: str
    abi: Abi
    page_size: int
    memory: int
    memory_start: int = _MEMORY_START
    kernel: str = "6.12.117"
    interfaces: str = "6.12"
    proposals: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    semantics: str = "domain"
    attach_after_map: str = "refuse"
    fragmentation: int | None = None
    modules: Modules = Modules()
    options: Mapping[str, int | bool] = field(default_factory=lambda: dict(_OPTIONS), hash=False)
    iommus: tuple[Iommu, ...] = ()
    pci: tuple[PciFunction, ...] = ()
    emulated: tuple[EmulatedDevice, ...] = ()

    def does_without(self) -> tuple[str, ...]:
        """The bugs of the real kernel that this machine's does not have."""
        release = tuple(int(part) for part in re.findall(r"[0-9]+", self.kernel))
        mended = (bug for bug, since in _FIXED_SINCE.items() if release >= since)
        return tuple(dict.fromkeys((*self.fixed, *mended)))

    def groups(self) -> dict[int, tuple[PciFunction, ...]]:
        """The IOMMU groups by number, each with its functions in the order of the description."""
        groups: dict[int, tuple[PciFunction, ...]] = {}
        for function in self.pci:
            if function.group is not None:
                groups[function.group] = (*groups.get(function.group, ()), function)
        return dict(sorted(groups.items()))

    def text(self) -> str:
        """The description as TOML, every key written out; `parse` reads it back."""
        return _write(self)

    def __repr__(self) -> str:
        return (
            f"<Machine {self.name}: {self.arch}, {_size_text(self.page_size)} pages, "
            f"{_size_text(self.memory)} of memory, Linux {self.kernel}, "
            f"{_count(len(self.iommus), 'IOMMU')}, {_count(len(self.pci), 'PCI function')} "
            f"in {_count(len(self.groups()), 'group')}>"
        )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


# -- reading ---------------------------------------------------------------------------------------


def names() -> list[str]:
    """The machines that come with the package."""
    return sorted(path.stem for path in _MACHINES.glob("*.toml"))


def load(name_or_path: str | Path) -> Machine:
    """The machine of that name, or of that file: a Path, or a text with a '/' or '.toml' in it.

    Raises MachineError for an unknown name, a file that cannot be read, or a wrong description.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        return _load_file(Path(name_or_path))
    known = names()
    if text not in known:
        raise MachineError(
            "machine",
            "",
            f"the unknown name '{text}'",
            f"one of {', '.join(known)}, or a .toml file{_did_you_mean(text, known)}",
        )
    machine = _load_file(_MACHINES / f"{text}.toml")
    if machine.name != text:
        raise MachineError(
            str(_MACHINES / f"{text}.toml"), "machine.name", f"'{machine.name}'", f"'{text}'"
        )
    return machine


def _load_file(path: Path) -> Machine:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MachineError(
            str(path), "", f"no readable file ({error.strerror})", "a machine description in TOML"
        ) from error
    except UnicodeDecodeError as error:
        raise MachineError(str(path), "", f"no text ({error})", "TOML in UTF-8") from error
    return parse(text, str(path))


def parse(text: str, source: str = "<text>") -> Machine:
    """The machine that the TOML `text` describes; `source` is the name that errors show."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MachineError(source, "", f"no TOML ({error})", "TOML, https://toml.io") from None
    return _machine(_Table(source, "", data))


def check(machine: Machine) -> None:
    """Raises MachineError for a machine that no description could be of, as `parse` would for it.

    `dataclasses.replace` looks at nothing.
    """
    _check_text(machine.text(), machine.name)


@functools.lru_cache(maxsize=16)
def _check_text(text: str, source: str) -> None:
    """Once for each text: the same machine is made again and again."""
    parse(text, source)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _shown(value: object) -> str:
    """A TOML value as an error shows it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}'"
        case dict():
            return "a table"
        case list():
            return f"[{', '.join(_shown(item) for item in value)}]"
        case _:
            return str(value)


_T = TypeVar("_T")


class _Table:
    """A table of the file, its keys taken one after another; `done` refuses those left over."""

    def __init__(self, source: str, path: str, data: Mapping[str, object]) -> None:
        self._source = source
        self._path = path
        self._data = data
        self._taken: set[str] = set()

    def key(self, key: str) -> str:
        """The key's path in the file."""
        part = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'
        return f"{self._path}.{part}" if self._path else part

    def error(self, key: str, found: str, allowed: str) -> MachineError:
        return MachineError(self._source, self.key(key), found, allowed)

    def wrong(self, key: str, allowed: str) -> MachineError:
        return self.error(key, _shown(self._data[key]), allowed)

    def has(self, key: str) -> bool:
        """Whether the key is there; from here on it counts as known."""
        self._taken.add(key)
        return key in self._data

    def _take(self, key: str, kind: type[_T], allowed: str) -> _T:
        if not self.has(key):
            raise self.error(key, "nothing", allowed)
        value = self._data[key]
        # bool is an int to Python, not to TOML
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, allowed)
        return value

    def string(self, key: str, allowed: str, default: str | None = None) -> str:
        if default is not None and not self.has(key):
            return default
        return self._take(key, str, allowed)

    def name(self, key: str, what: str = "a name", default: str | None = None) -> str:
        """A string of letters, digits, '_', '.' and '-'; it may be empty where the default is."""
        allowed = f"{what}: letters, digits, '_', '.' and '-'"
        name = self.string(key, allowed, default)
        if name != default and not _NAME.fullmatch(name):
            raise self.wrong(key, allowed)
        return name

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        allowed = "one of " + ", ".join(f"'{choice}'" for choice in choices)
        value = self.string(key, allowed, default)
        if value not in choices:
            raise self.error(key, f"'{value}'", allowed + _did_you_mean(value, choices))
        return value

    def choices(self, key: str, choices: Collection[str]) -> tuple[str, ...]:
        """A list of different choices; empty where the key is absent."""
        some = ", ".join(f"'{choice}'" for choice in choices) or "none is known yet"
        allowed = f"a list of different names ({some})"
        if not self.has(key):
            return ()
        values = self._take(key, list, allowed)
        for at, value in enumerate(values):
            if not isinstance(value, str) or value not in choices or value in values[:at]:
                raise MachineError(
                    self._source,
                    f"{self.key(key)}[{at}]",
                    _shown(value),
                    allowed + _did_you_mean(str(value), choices),
                )
        return tuple(values)

    def boolean(self, key: str, default: bool) -> bool:
        return self._take(key, bool, "true or false") if self.has(key) else default

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        allowed = f"a whole number from {low} to {high if high <= _U32 else hex(high)}"
        if default is not None and not self.has(key):
            return default
        value = self._take(key, int, allowed)
        if not low <= value <= high:
            raise self.wrong(key, allowed)
        return value

    def addresses(self, key: str) -> tuple[int, ...]:
        """A list of addresses, empty where the key is absent."""
        if not self.has(key):
            return ()
        allowed = "a list of addresses: [0xfe000000, 0xc000]"
        values = self._take(key, list, allowed)
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
                raise self.wrong(key, allowed)
        return tuple(values)

    def size(self, key: str) -> int:
        allowed = "a size: '4K', '2M', '1G' or bytes"
        if not self.has(key):
            raise self.error(key, "nothing", allowed)
        size = _size(self._data[key])
        if size is None:
            raise self.wrong(key, allowed)
        return size

    def sizes(self, key: str) -> tuple[int, ...]:
        """A list of page sizes, ascending."""
        allowed = "a list of powers of two, ascending: ['4K', '2M', '1G']"
        sizes = [_size(value) for value in self._take(key, list, allowed)]
        found = [size for size in sizes if size is not None and not size & (size - 1)]
        if not found or len(found) != len(sizes) or found != sorted(set(found)):
            raise self.wrong(key, allowed)
        return tuple(found)

    def table(self, key: str) -> _Table:
        """A table in this one; empty where it is absent."""
        data = self._take(key, dict, f"a table [{key}]") if self.has(key) else {}
        return _Table(self._source, self.key(key), data)

    def tables(self, key: str) -> list[_Table]:
        """An array of tables; empty where it is absent."""
        if not self.has(key):
            return []
        values = self._take(key, list, "a list of tables")
        for value in values:
            if not isinstance(value, dict):
                raise self.wrong(key, "a list of tables")
        return [
            _Table(self._source, f"{self.key(key)}[{at}]", value) for at, value in enumerate(values)
        ]

    def done(self) -> None:
        for key in self._data:
            if key not in self._taken:
                raise self.error(
                    key,
                    "an unknown key",
                    f"one of {', '.join(sorted(self._taken))}{_did_you_mean(key, self._taken)}",
                )


def _size(value: object) -> int | None:
    """Bytes, or None for what is no size."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else None


def _size_text(size: int) -> str:
    for unit in ("T", "G", "M", "K"):
        if not size % _UNITS[unit]:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def _machine(top: _Table) -> Machine:
    table = top.table("machine")
    arch = table.choice("arch", _PAGE_SIZES)
    page_size = _page_size(table, arch)
    modules = _modules(top.table("modules"))
    options = _options(top.table("options"))
    iommu_tables, pci_tables = top.tables("iommu"), top.tables("pci")
    emulated_tables = top.tables("emulated")
    machine = Machine(
        name=table.name("name"),
        arch=arch,
        abi=cast(Abi, table.choice("abi", _ABIS, "power" if arch == "ppc64le" else "generic")),
        page_size=page_size,
        memory=_memory(table, page_size),
        memory_start=_memory_start(table),
        kernel=table.name("kernel", "a release, such as '6.12.117'", "6.12.117"),
        interfaces=table.choice("interfaces", _INTERFACES, "6.12"),
        proposals=_proposals(table, arch),
        fixed=table.choices("fixed", _FIXED),
        semantics=table.choice("semantics", SEMANTICS, "domain"),
        attach_after_map=table.choice("attach_after_map", ATTACH_AFTER_MAP, "refuse"),
        fragmentation=_fragmentation(table, page_size),
        modules=modules,
        options=options,
        iommus=tuple(_iommu(each) for each in iommu_tables),
        pci=tuple(_pci(each, modules, options) for each in pci_tables),
        emulated=tuple(_emulated(each) for each in emulated_tables),
    )
    table.done()
    top.done()
    _check_iommus(machine, iommu_tables)
    _check_pci(machine, pci_tables)
    _check_emulated(machine, emulated_tables)
    return machine


def _proposals(table: _Table, arch: str) -> tuple[str, ...]:
    proposals = table.choices("proposals", _PROPOSALS)
    if proposals and arch != "ppc64le":
        raise table.wrong("proposals", f"none on {arch}: these are POWER's")
    for proposal in proposals:
        others = _EITHER_PROPOSAL.get(proposal, ())
        if not set(others).isdisjoint(proposals):
            names = " or ".join(f"'{other}'" for other in others)
            raise table.wrong("proposals", f"'{proposal}' without {names}")
    return proposals


def _page_size(table: _Table, arch: str) -> int:
    size = table.size("page_size")
    if size not in _PAGE_SIZES[arch]:
        some = ", ".join(f"'{_size_text(each)}'" for each in _PAGE_SIZES[arch])
        raise table.wrong("page_size", f"a page size of {arch}: {some}")
    return size


def _memory(table: _Table, page_size: int) -> int:
    size = table.size("memory")
    if size > _MOST_MEMORY or size % page_size:
        raise table.wrong("memory", f"whole pages of {_size_text(page_size)}, at most '32G'")
    return size


def _memory_start(table: _Table) -> int:
    if not table.has("memory_start"):
        return _MEMORY_START
    start = table.size("memory_start")
    if start > _LAST_MEMORY_START or start % (1 << 30):
        raise table.wrong(
            "memory_start", f"whole multiples of '1G', at most '{_size_text(_LAST_MEMORY_START)}'"
        )
    return start


def _fragmentation(table: _Table, page_size: int) -> int | None:
    allowed = f"'none' or a power of two from '{_size_text(page_size)}' on"
    text = table.string("fragmentation", allowed, "none")
    if text == "none":
        return None
    size = _size(text)
    if size is None or size & (size - 1) or size < page_size:
        raise table.wrong("fragmentation", allowed)
    return size


def _modules(table: _Table) -> Modules:
    modules = Modules(
        vfio=table.boolean("vfio", True),
        iommufd=table.boolean("iommufd", True),
        kvm=table.boolean("kvm", True),
    )
    table.done()
    return modules


def _options(table: _Table) -> dict[str, int | bool]:
    options: dict[str, int | bool] = {}
    for key, default in _OPTIONS.items():
        if isinstance(default, bool):
            options[key] = table.boolean(key, default)
        else:
            options[key] = table.integer(key, 0, _U32, default)
    table.done()
    return options


def _iommu(table: _Table) -> Iommu:
    driver = table.choice("driver", IOMMU_DRIVERS)
    coherency = _COHERENCY[driver]
    iommu = Iommu(
        name=table.name("name"),
        driver=driver,
        address_width=table.integer("address_width", 32, 64),
        page_sizes=table.sizes("page_sizes"),
        enforce_cache_coherency=table.boolean("enforce_cache_coherency", bool(coherency)),
        isolated_msi=table.boolean("isolated_msi", False),
        dirty_tracking=table.boolean("dirty_tracking", False),
        stage=table.integer("stage", 1, 2 if driver == "smmu_v3" else 1, 1),
        window_size=_window_size(table, driver),
        table_levels=table.integer("table_levels", 1, 5 if driver == "powernv" else 1, 1),
        eeh=table.boolean("eeh", False),
        reserved=tuple(_reserved(each) for each in table.tables("reserved")),
    )
    table.done()
    widths = _WIDTHS.get(driver)
    if widths is not None and iommu.address_width not in widths:
        some = ", ".join(map(str, widths)) if isinstance(widths, tuple) else "32 to 52"
        raise table.wrong("address_width", f"a width of {driver}: {some}")
    if iommu.eeh and driver not in _WINDOWS:
        raise table.wrong("eeh", f"false, as ever with {driver}")
    if iommu.dirty_tracking and driver not in ("intel", "amd", "smmu_v3"):
        raise table.wrong("dirty_tracking", f"false, as ever with {driver}")
    if iommu.page_sizes[-1] >> iommu.address_width:
        raise table.wrong("page_sizes", f"sizes within {iommu.address_width} bits of address")
    pages = _PAGES.get(driver, iommu.page_sizes)
    if not set(iommu.page_sizes) <= set(pages):
        some = ", ".join(f"'{_size_text(size)}'" for size in pages)
        raise table.wrong("page_sizes", f"page sizes of {driver}: {some}")
    if coherency is not None and iommu.enforce_cache_coherency is not coherency:
        raise table.wrong("enforce_cache_coherency", f"{_shown(coherency)}, as ever with {driver}")
    return iommu


def _window_size(table: _Table, driver: str) -> int:
    """Of POWER's default window: a power of two that VFIO can say in 32 bits."""
    if driver not in _WINDOWS:
        if table.has("window_size"):
            raise table.wrong("window_size", f"no such key, for {driver} has no windows")
        return 0
    size = table.size("window_size")
    if size & (size - 1) or not _SMALLEST_WINDOW <= size <= _LARGEST_WINDOW:
        raise table.wrong("window_size", "a power of two from '64K' to '2G'")
    return size


def _reserved(table: _Table) -> Reserved:
    start = table.integer("start", 0, _U64)
    last = table.integer("last", 0, _U64)
    if last < start:
        raise table.error("last", f"{last:#x}", f"an address from start on, {start:#x}")
    region = Reserved(start, last, table.choice("type", _RESERVED_TYPES))
    table.done()
    return region


def _pci(table: _Table, modules: Modules, options: Mapping[str, int | bool]) -> PciFunction:
    address = table.string("address", "an address dddd:bb:dd.f, such as '0000:00:02.0'")
    if not _ADDRESS.fullmatch(address):
        raise table.wrong(
            "address", "dddd:bb:dd.f in lower-case hexadecimal, such as '0000:00:02.0'"
        )
    function = PciFunction(
        address=address,
        model=table.choice("model", _MODELS),
        driver=table.name("driver", "a kernel driver's name, or '' for none", ""),
        iommu=table.name("iommu") if table.has("iommu") else None,
        group=table.integer("group", 0, _INT) if table.has("group") else None,
        vfio=table.integer("vfio", 0, _INT) if table.has("vfio") else None,
        bars=table.addresses("bars"),
    )
    table.done()
    if function.iommu is None and function.group is not None:
        raise table.wrong("group", "no group without an iommu")
    if function.iommu is not None and function.group is None:
        raise table.error(
            "group", "nothing", f"a group number, for it has the iommu '{function.iommu}'"
        )
    _check_driver(table, function, modules, options)
    return function


def _check_driver(
    table: _Table, function: PciFunction, modules: Modules, options: Mapping[str, int | bool]
) -> None:
    """What vfio-pci needs before it binds, and that nothing else has a number of VFIO's."""
    if function.driver != _VFIO_PCI:
        if function.vfio is not None:
            raise table.wrong("vfio", f"no number, or driver = '{_VFIO_PCI}'")
        return
    if not modules.vfio:
        raise table.wrong("driver", "another driver, or modules.vfio = true")
    if function.model == "host":
        raise table.wrong("driver", f"a host's driver, or a model that {_VFIO_PCI} can drive")
    if function.iommu is None and not options[_NOIOMMU]:
        raise table.wrong("driver", f"another driver, or an iommu, or '{_NOIOMMU}' = true")
    if function.vfio is None:
        raise table.error("vfio", "nothing", "the number N of its /dev/vfio/devices/vfioN")


def _unique(tables: list[_Table], key: str, values: Iterable[object]) -> None:
    first: dict[object, int] = {}
    for at, value in enumerate(values):
        if value is None:
            continue
        if value in first:
            raise tables[at].wrong(key, f"another value, {tables[first[value]].key(key)} has it")
        first[value] = at


def _check_iommus(machine: Machine, tables: list[_Table]) -> None:
    _unique(tables, "name", (iommu.name for iommu in machine.iommus))
    for iommu, table in zip(machine.iommus, tables, strict=True):
        page = iommu.page_sizes[0]
        for before, region in zip((None, *iommu.reserved), iommu.reserved, strict=False):
            shown = f"{region.start:#x}-{region.last:#x}"
            if region.start % page or (region.last + 1) % page:
                raise table.error("reserved", shown, f"whole pages of {_size_text(page)}")
            if before is not None and region.start <= before.last:
                raise table.error("reserved", shown, f"a region behind {before.last:#x}")


def _check_pci(machine: Machine, tables: list[_Table]) -> None:
    _unique(tables, "address", (function.address for function in machine.pci))
    _unique(tables, "vfio", (function.vfio for function in machine.pci))
    known = [iommu.name for iommu in machine.iommus]
    for function, table in zip(machine.pci, tables, strict=True):
        if function.iommu is not None and function.iommu not in known:
            some = ", ".join(f"'{name}'" for name in known) or "none, for no iommu is described"
            raise table.wrong("iommu", f"one of {some}{_did_you_mean(function.iommu, known)}")
    first: dict[int, PciFunction] = {}
    for function, table in zip(machine.pci, tables, strict=True):
        if function.group is None:
            continue
        other = first.setdefault(function.group, function)
        if function.iommu != other.iommu:
            raise table.wrong(
                "iommu",
                f"'{other.iommu}', the iommu of {other.address}, which is in group "
                f"{function.group} too",
            )


def _emulated(table: _Table) -> EmulatedDevice:
    device = EmulatedDevice(name=table.name("name"), group=table.integer("group", 0, _INT))
    table.done()
    return device


def _check_emulated(machine: Machine, tables: list[_Table]) -> None:
    _unique(tables, "name", (device.name for device in machine.emulated))
    _unique(tables, "group", (device.group for device in machine.emulated))
    taken = machine.groups()
    for device, table in zip(machine.emulated, tables, strict=True):
        if device.group in taken:
            raise table.wrong("group", "a group of its own, without PCI functions")


# -- writing ---------------------------------------------------------------------------------------


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'  # nothing that needs an escape gets into a machine
        case tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case Reserved():
            return f'{{ start = {value.start:#x}, last = {value.last:#x}, type = "{value.type}" }}'
        case _:
            return str(value)


def _section(title: str, keys: Mapping[str, object]) -> str:
    """One table; a key whose value is None stays out."""
    lines = [f"{key} = {_toml(value)}" for key, value in keys.items() if value is not None]
    return "\n".join([title, *lines, ""])


def _fields(record: Modules | Iommu | PciFunction | EmulatedDevice) -> dict[str, object]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


def _write(machine: Machine) -> str:
    size = _size_text
    head = {
        "name": machine.name,
        "arch": machine.arch,
        "abi": machine.abi,
        "page_size": size(machine.page_size),
        "memory": size(machine.memory),
        "memory_start": size(machine.memory_start),
        "kernel": machine.kernel,
        "interfaces": machine.interfaces,
        "proposals": machine.proposals,
        "fixed": machine.fixed,
        "semantics": machine.semantics,
        "attach_after_map": machine.attach_after_map,
        "fragmentation": "none" if machine.fragmentation is None else size(machine.fragmentation),
    }
    sections = [
        _section("[machine]", head),
        _section("[modules]", _fields(machine.modules)),
        _section("[options]", {f'"{name}"': value for name, value in machine.options.items()}),
    ]
    for iommu in machine.iommus:
        keys = _fields(iommu) | {"page_sizes": tuple(map(size, iommu.page_sizes))}
        keys["window_size"] = size(iommu.window_size) if iommu.window_size else None
        sections.append(_section("[[iommu]]", keys))
    sections += [_section("[[pci]]", _fields(function)) for function in machine.pci]
    sections += [_section("[[emulated]]", _fields(device)) for device in machine.emulated]
    return "\n".join(sections)
