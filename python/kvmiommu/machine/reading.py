# SPDX-License-Identifier: MIT
"""From the tables of a description to a machine, with every rule that a machine keeps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from . import known
from .description import EmulatedDevice, Iommu, Machine, Modules, PciFunction, Reserved
from .known import NOIOMMU, VFIO_PCI
from .mistakes import nearest
from .positions import Path
from .sizes import size_text
from .table import Report, Table, unique

__all__ = ["read"]

_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_INT = (1 << 31) - 1
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


def read(
    data: Mapping[str, object], source: str, lines: Callable[[], Mapping[Path, int | None]] | None
) -> Machine:
    """The machine that the document `data` describes. Raises MachineError."""
    report = Report(source, lines)
    machine = _machine(Table(report, (), data))
    report.raise_mistakes()
    return machine


def _machine(top: Table) -> Machine:
    table = top.table("machine", needed=True)
    if not top.good("machine"):
        table = Table(Report("", None), (), {})  # one mistake is enough
    arch = table.choice("arch", known.PAGE_SIZES)
    page_size = _page_size(table, arch)
    modules, options = _modules(top.table("modules")), _options(top.table("options"))
    iommu_tables, pci_tables = top.tables("iommu"), top.tables("pci")
    emulated_tables = top.tables("emulated")
    memory = _memory(table)
    interfaces, kernel = _release(table, arch)
    machine = Machine(
        name=table.name("name"),
        arch=arch,
        abi=known.ABIS[arch],
        page_size=page_size,
        memory=memory,
        memory_start=_memory_start(table),
        kernel=kernel,
        interfaces=interfaces,
        firmware=table.boolean("firmware", True),
        proposals=_proposals(table, arch),
        fixed=table.choices("fixed", known.FIXED),
        semantics=table.choice("semantics", known.SEMANTICS, "domain"),
        attach_after_map=table.choice("attach_after_map", known.ATTACH_AFTER_MAP, "refuse"),
        fragmentation=_fragmentation(table, page_size, memory),
        modules=modules,
        options=options,
        iommus=tuple(_iommu(each, arch if table.good("arch") else None) for each in iommu_tables),
        pci=tuple(_pci(each, modules, options) for each in pci_tables),
        emulated=tuple(_emulated(each) for each in emulated_tables),
    )
    abi = table.choice("abi", ("generic", "power"), machine.abi)
    if table.good("abi", "arch") and abi != machine.abi:
        table.wrong("abi", f"'{machine.abi}', as ever on {arch}")
    table.done()
    top.done()
    _check_iommus(machine, iommu_tables, table)
    named = top.good("iommu") and all(each.good("name") for each in iommu_tables)
    _check_pci(machine, pci_tables, named)
    if named:
        _check_pci_reserved(machine, iommu_tables, pci_tables)
    _check_emulated(machine, emulated_tables)
    for each in (*iommu_tables, *pci_tables, *emulated_tables):
        each.done()
    return machine


# -- [machine], [modules], [options] ---------------------------------------------------------------


def _proposals(table: Table, arch: str) -> tuple[str, ...]:
    proposals = table.choices("proposals", known.PROPOSALS)
    if proposals and table.good("arch") and arch != "ppc64le":
        table.wrong("proposals", f"none on {arch}: these are POWER's")
    for proposal in proposals:
        others = known.EITHER_PROPOSAL.get(proposal, ())
        if not set(others).isdisjoint(proposals):
            names = " or ".join(f"'{other}'" for other in others)
            table.wrong("proposals", f"'{proposal}' without {names}")
    return proposals


def _page_size(table: Table, arch: str) -> int:
    size = table.size("page_size")
    if table.good("page_size", "arch") and size not in known.PAGE_SIZES[arch]:
        some = ", ".join(f"'{size_text(each)}'" for each in known.PAGE_SIZES[arch])
        table.wrong("page_size", f"a page size of {arch}: {some}")
    return size


def _release(table: Table, arch: str) -> tuple[str, str]:
    """The interfaces and the kernel, which has them; either follows from the other."""
    if not table.good("arch"):
        interfaces = table.string("interfaces", "a release", known.DEFAULT_INTERFACES)
        return interfaces, table.string("kernel", "a release", known.DEFAULT_KERNEL)
    recorded = known.KERNELS[arch]
    of = {kernel: interfaces for interfaces, kernels in recorded.items() for kernel in kernels}
    if not table.has("interfaces"):
        kernel = table.choice("kernel", of, known.DEFAULT_KERNEL)
        return of[kernel], kernel
    interfaces = table.choice("interfaces", recorded)
    if not table.has("kernel"):
        return interfaces, recorded[interfaces][-1]
    kernel = table.choice("kernel", of)
    if table.good("interfaces", "kernel") and of[kernel] != interfaces:
        some = " or ".join(f"'{each}'" for each in recorded[interfaces])
        table.wrong("kernel", f"{some}, for the interfaces are those of {interfaces}")
    return interfaces, kernel


def _memory(table: Table) -> int:
    size = table.size("memory")
    if table.good("memory") and (size > known.MOST_MEMORY or size % known.MEMORY_BLOCK):
        table.wrong(
            "memory",
            f"whole blocks of '{size_text(known.MEMORY_BLOCK)}', "
            f"at most '{size_text(known.MOST_MEMORY)}'",
        )
    return size


def _memory_start(table: Table) -> int:
    start = table.size("memory_start", known.MEMORY_START)
    block, last = known.MEMORY_START_BLOCK, known.LAST_MEMORY_START
    if table.good("memory_start") and (start > last or start % block):
        table.wrong(
            "memory_start",
            f"whole multiples of '{size_text(block)}', at most '{size_text(last)}'",
        )
    return start


def _fragmentation(table: Table, page_size: int, memory: int) -> int | None:
    size = table.size_or_none("fragmentation")
    if size is None or not table.good("page_size"):
        return size
    if size & (size - 1) or size < page_size:
        table.wrong("fragmentation", f"'none' or a power of two from '{size_text(page_size)}' on")
    elif table.good("memory") and memory % size:
        table.wrong(
            "fragmentation", f"a power of two that divides the memory, '{size_text(memory)}'"
        )
    return size


def _modules(table: Table) -> Modules:
    modules = Modules(vfio=table.boolean("vfio", True), kvm=table.boolean("kvm", True))
    table.done()
    return modules


def _options(table: Table) -> dict[str, int | bool]:
    options: dict[str, int | bool] = {}
    for key, default in known.OPTIONS.items():
        if isinstance(default, bool):
            options[key] = table.boolean(key, default)
        else:
            options[key] = table.integer(key, 0, _U32, default)
    table.done()
    return options


# -- [[iommu]] -------------------------------------------------------------------------------------


def _iommu(table: Table, arch: str | None) -> Iommu:
    driver = table.choice("driver", known.IOMMU_DRIVERS)
    if table.good("driver") and arch is not None and driver not in known.DRIVERS[arch]:
        some = ", ".join(f"'{each}'" for each in known.DRIVERS[arch])
        table.wrong("driver", f"a driver of {arch}: {some}")
    right = table.good("driver")
    smmu, powernv = not right or driver == "smmu_v3", not right or driver == "powernv"
    iommu = Iommu(
        name=table.name("name"),
        driver=driver,
        address_width=table.integer("address_width", 32, 64),
        page_sizes=table.page_sizes("page_sizes"),
        enforce_cache_coherency=table.boolean(
            "enforce_cache_coherency", bool(known.COHERENCY[driver])
        ),
        isolated_msi=table.boolean("isolated_msi", driver in known.ISOLATE_MSI),
        dirty_tracking=table.boolean("dirty_tracking", False),
        stage=table.integer("stage", 1, 2 if smmu else 1, 1),
        window_size=_window_size(table, driver),
        table_levels=table.integer("table_levels", 1, 5 if powernv else 1, 1),
        eeh=table.boolean("eeh", False),
        reserved=tuple(_reserved(each) for each in table.tables("reserved")),
    )
    if right:
        _check_driver_has(table, iommu)
    return iommu


def _check_driver_has(table: Table, iommu: Iommu) -> None:
    """What the driver of an IOMMU has, and has not."""
    driver = iommu.driver
    widths = known.WIDTHS.get(driver)
    if table.good("address_width") and widths is not None and iommu.address_width not in widths:
        some = ", ".join(map(str, widths))
        if isinstance(widths, range):
            some = f"{widths[0]} to {widths[-1]}"
        table.wrong("address_width", f"a width of {driver}: {some}")
    if table.good("page_sizes"):
        if wanted := known.levels_wanted(driver, iommu.page_sizes):
            table.wrong("page_sizes", wanted)
        elif table.good("address_width") and iommu.page_sizes[-1] >> iommu.address_width:
            table.wrong("page_sizes", f"sizes within {iommu.address_width} bits of address")
    for key, value, drivers in (
        ("eeh", iommu.eeh, known.WINDOWS),
        ("dirty_tracking", iommu.dirty_tracking, known.TRACK_DIRTY),
    ):
        if value and driver not in drivers:
            table.wrong(key, f"false, as ever with {driver}")
    coherency = known.COHERENCY[driver]
    if coherency not in (None, iommu.enforce_cache_coherency):
        table.wrong("enforce_cache_coherency", f"{str(coherency).lower()}, as ever with {driver}")


def _window_size(table: Table, driver: str) -> int:
    """Of POWER's default window: a power of two that VFIO can say in 32 bits."""
    if not table.good("driver"):
        table.has("window_size")
        return 0
    if driver not in known.WINDOWS:
        if table.has("window_size"):
            table.wrong("window_size", f"no such key, for {driver} has no windows")
        return 0
    size = table.size("window_size")
    smallest, largest = known.SMALLEST_WINDOW, known.LARGEST_WINDOW
    if table.good("window_size") and (size & (size - 1) or not smallest <= size <= largest):
        table.wrong(
            "window_size",
            f"a power of two from '{size_text(smallest)}' to '{size_text(largest)}'",
        )
    return size


def _reserved(table: Table) -> Reserved:
    start = table.integer("start", 0, _U64)
    last = table.integer("last", 0, _U64)
    if table.good("start", "last") and last < start:
        table.wrong("last", f"an address from start on, {start:#x}", found=f"{last:#x}")
    region = Reserved(start, last, table.choice("type", known.RESERVED_TYPES))
    table.done()
    return region


def _check_iommus(machine: Machine, tables: list[Table], head: Table) -> None:
    unique(tables, "name", (iommu.name for iommu in machine.iommus))
    for iommu, table in zip(machine.iommus, tables, strict=True):
        if head.good("page_size") and table.good("driver", "page_sizes"):
            _check_granule(iommu, table, machine.page_size)
        if table.good("page_sizes", "reserved"):
            _check_reserved(iommu.reserved, iommu.page_sizes[0], table)


def _check_granule(iommu: Iommu, table: Table, page_size: int) -> None:
    """What an SMMU's tables of the granule that the kernel picks can do."""
    if wanted := known.granule_wanted(iommu.driver, iommu.page_sizes, page_size):
        table.wrong("page_sizes", wanted)


def _check_reserved(regions: tuple[Reserved, ...], page: int, table: Table) -> None:
    """Whole pages of the IOMMU, in ascending order."""
    for at, region in enumerate(regions):
        text = f"{region.start:#x}-{region.last:#x}"
        if region.start % page or (region.last + 1) % page:
            table.wrong("reserved", f"whole pages of {size_text(page)}", found=text, item=at)
        elif at and region.start <= regions[at - 1].last:
            last = regions[at - 1].last
            table.wrong("reserved", f"a region behind {last:#x}", found=text, item=at)


# -- [[pci]], [[emulated]] -------------------------------------------------------------------------


def _pci(table: Table, modules: Modules, options: Mapping[str, int | bool]) -> PciFunction:
    function = PciFunction(
        address=_address(table),
        model=table.choice("model", known.MODELS),
        driver=table.name("driver", "a kernel driver's name, or '' for none", ""),
        iommu=table.name("iommu") if table.has("iommu") else None,
        group=table.integer("group", 0, _INT) if table.has("group") else None,
        vfio=table.integer("vfio", 0, _INT) if table.has("vfio") else None,
        bars=table.addresses("bars"),
        interrupt_line=(
            table.integer("interrupt_line", 0, 255) if table.has("interrupt_line") else None
        ),
        reserved=tuple(_reserved(each) for each in table.tables("reserved")),
    )
    if function.iommu is None and function.reserved:
        table.wrong("reserved", "no reserved region without an iommu")
    if function.iommu is None and function.group is not None and table.good("group"):
        table.wrong("group", "no group without an iommu")
    if function.iommu is not None and function.group is None:
        table.missing("group", f"a group number, for it has the iommu '{function.iommu}'")
    if (
        function.interrupt_line is not None
        and table.good("interrupt_line", "model")
        and function.model not in known.INTERRUPT_PINS
    ):
        table.wrong("interrupt_line", f"no line, for {function.model} has no interrupt pin")
    if table.good("driver", "model"):
        _check_driver(table, function, modules, options)
    if table.good("bars", "model"):
        _check_bars(table, function)
    return function


def _address(table: Table) -> str:
    address = table.string("address", "an address dddd:bb:dd.f, such as '0000:00:02.0'")
    if table.good("address") and not _ADDRESS.fullmatch(address):
        table.wrong("address", "dddd:bb:dd.f in lower-case hexadecimal, such as '0000:00:02.0'")
    return address


def _check_driver(
    table: Table, function: PciFunction, modules: Modules, options: Mapping[str, int | bool]
) -> None:
    """What vfio-pci needs before it binds, and that nothing else has a number of VFIO's."""
    if function.driver != VFIO_PCI:
        if function.vfio is not None:
            table.wrong("vfio", f"no number, or driver = '{VFIO_PCI}'")
        return
    if not modules.vfio:
        table.wrong("driver", "another driver, or modules.vfio = true")
    elif function.model == "host":
        table.wrong("driver", f"a host's driver, or a model that {VFIO_PCI} can drive")
    elif function.iommu is None and not options[NOIOMMU]:
        table.wrong("driver", f"another driver, or an iommu, or '{NOIOMMU}' = true")
    if function.vfio is None:
        table.missing("vfio", "the number N of its /dev/vfio/devices/vfioN")


def _check_bars(table: Table, function: PciFunction) -> None:
    """Addresses that the model's base address registers can hold."""
    regions = known.MODELS[function.model]
    if len(function.bars) > len(regions):
        most = f"at most {len(regions)} addresses" if regions else "no address"
        table.wrong("bars", f"{most}: {function.model} has {len(regions)} regions")
        return
    for at, (address, region) in enumerate(zip(function.bars, regions, strict=False)):
        if address % region.bytes:
            table.wrong(
                "bars",
                f"a multiple of the region's size, {region.bytes:#x}",
                found=f"{address:#x}",
                item=at,
            )
        elif (address + region.bytes - 1) >> region.bits:
            table.wrong("bars", f"an address of {region.bits} bits", found=f"{address:#x}", item=at)


def _check_pci(machine: Machine, tables: list[Table], iommus_are_known: bool) -> None:
    unique(tables, "address", (function.address for function in machine.pci))
    unique(tables, "vfio", (function.vfio for function in machine.pci))
    if not iommus_are_known:
        return
    names = [iommu.name for iommu in machine.iommus]
    first: dict[int, PciFunction] = {}
    for function, table in zip(machine.pci, tables, strict=True):
        if function.iommu is None or not table.good("iommu"):
            continue
        if function.iommu not in names:
            some = ", ".join(f"'{name}'" for name in names)
            table.wrong(
                "iommu",
                f"one of {some}" if names else "none, for no iommu is described",
                suggestion=nearest(function.iommu, names),
            )
        elif function.group is not None and table.good("group"):
            other = first.setdefault(function.group, function)
            if function.iommu != other.iommu:
                table.wrong(
                    "iommu",
                    f"'{other.iommu}', the iommu of {other.address}, which is in group "
                    f"{function.group} too",
                )


def _check_pci_reserved(machine: Machine, iommus: list[Table], tables: list[Table]) -> None:
    pages = {
        iommu.name: iommu.page_sizes[0]
        for iommu, table in zip(machine.iommus, iommus, strict=True)
        if table.good("page_sizes")
    }
    for function, table in zip(machine.pci, tables, strict=True):
        if function.iommu in pages and table.good("iommu", "reserved"):
            _check_reserved(function.reserved, pages[function.iommu], table)


def _emulated(table: Table) -> EmulatedDevice:
    return EmulatedDevice(name=table.name("name"), group=table.integer("group", 0, _INT))


def _check_emulated(machine: Machine, tables: list[Table]) -> None:
    unique(tables, "name", (device.name for device in machine.emulated))
    unique(tables, "group", (device.group for device in machine.emulated))
    taken = machine.groups()
    for device, table in zip(machine.emulated, tables, strict=True):
        if table.good("group") and device.group in taken:
            table.wrong("group", "a group of its own, without PCI functions")
