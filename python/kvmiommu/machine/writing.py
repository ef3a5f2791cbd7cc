# SPDX-License-Identifier: MIT
"""From a machine to its description: as the document's data, and as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields

from .description import EmulatedDevice, Iommu, Machine, Modules, PciFunction, Reserved
from .sizes import size_text

__all__ = ["data_of", "record_of", "tables_of", "text_of"]

_SIZES = ("page_size", "memory", "memory_start", "fragmentation", "window_size")
_ADDRESSES = ("start", "last", "bars")
_Record = Modules | Iommu | PciFunction | EmulatedDevice | Reserved


def data_of(machine: Machine) -> dict[str, object]:
    """The document that describes the machine, every key written out."""
    head: dict[str, object] = {
        each.name: _plain(each.name, getattr(machine, each.name))
        for each in fields(machine)
        if each.name not in ("modules", "options", "iommus", "pci", "emulated")
    }
    if machine.fragmentation is None:
        head["fragmentation"] = "none"
    return {
        "machine": head,
        "modules": record_of(machine.modules),
        "options": _mapping(machine.options),
        "iommu": tables_of(machine.iommus),
        "pci": tables_of(machine.pci),
        "emulated": tables_of(machine.emulated),
    }


def tables_of(records: object) -> object:
    """Tables of a document, one for each record; what is no record stays as it is."""
    if not isinstance(records, tuple | list):
        return records
    return [record_of(each) for each in records]


def _mapping(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def record_of(record: object) -> object:
    """One table; a key whose value says that there is none stays out. No record stays as it is."""
    if not isinstance(record, _Record):
        # A mapping would pass for a table, and then have no attributes.
        return list(record.items()) if isinstance(record, Mapping) else record
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    if isinstance(record, Iommu) and record.window_size == 0:
        del values["window_size"]
    absent = {each.name for each in fields(record) if "None" in str(each.type)}
    return {
        key: _plain(key, value)
        for key, value in values.items()
        if value is not None or key not in absent
    }


def _plain(key: str, value: object) -> object:
    """A value as `tomllib` would have read it."""
    if key in _SIZES:
        return _size(value)
    if isinstance(value, tuple | list):
        return list(map(_size, value)) if key == "page_sizes" else tables_of(value)
    return value


def _size(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
        return size_text(value)
    return value


def text_of(machine: Machine) -> str:
    """The description as TOML."""
    sections = []
    for name, content in data_of(machine).items():
        if isinstance(content, dict):
            sections.append(_section(f"[{name}]", content))
        elif isinstance(content, list):
            sections += [_section(f"[[{name}]]", each) for each in content]
    return "\n".join(sections)


def _section(title: str, keys: Mapping[str, object]) -> str:
    lines = [f"{_key(key)} = {_toml(key, value)}" for key, value in keys.items()]
    return "\n".join([title, *lines, ""])


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else f'"{key}"'


def _toml(key: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:#x}" if key in _ADDRESSES else str(value)
        case list():
            return f"[{', '.join(_toml(key, item) for item in value)}]"
        case dict():
            return "{ " + ", ".join(f"{name} = {_toml(name, value[name])}" for name in value) + " }"
        case _:
            return json.dumps(str(value), ensure_ascii=False)
