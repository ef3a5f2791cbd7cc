# SPDX-License-Identifier: MIT
"""Machines: those that come with the package, with options of their kernel changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from hypothesis import strategies as st

from kvmiommu.machine import Machine, load, names

from ._shown import Shown

__all__ = ["machines"]

_SIMPLEST = "q35-intel"
#: The first value is the default.
_OPTIONS: Mapping[str, Sequence[int | bool]] = {
    "iommu.strict": (True, False),
    "vfio_iommu_type1.disable_hugepages": (False, True),
    "vfio_iommu_type1.dma_entry_limit": (65535, 64, 8, 1),
}


class _Drawn(Shown, Machine):
    """A machine that shows how to get it again. It is equal to the same machine by other ways."""

    def __repr__(self) -> str:
        if self.name not in names():
            return super().__repr__()
        known = load(self.name)
        changes: dict[str, object] = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != getattr(known, field.name)
        }
        if "options" in changes:
            changes["options"] = {
                key: value for key, value in self.options.items() if known.options.get(key) != value
            }
        parts = [repr(self.name), *(f"{key}={value!r}" for key, value in changes.items())]
        return f"machine.load({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Machine):
            return NotImplemented
        return all(
            getattr(self, field.name) == getattr(other, field.name) for field in fields(Machine)
        )

    __hash__ = Machine.__hash__


def _drawn(name: str, options: Mapping[str, int | bool]) -> Machine:
    machine = load(name)
    values = {field.name: getattr(machine, field.name) for field in fields(machine)}
    return _Drawn(**{**values, "options": {**machine.options, **options}})


def machines(
    *chosen: str, where: Callable[[Machine], bool] | None = None, vary_options: bool = True
) -> st.SearchStrategy[Machine]:
    """The machines of these names, or of all that come with the package; of them those for which
    `where` is true, such as `lambda machine: machine.abi == "generic"`.

    Options of their kernels vary unless `vary_options` is false. Shrinks to the first name
    ("q35-intel" of all) with the options as they come.

    Raises ValueError: no machine is left to choose from.
    """
    known = chosen or sorted(names(), key=lambda name: (name != _SIMPLEST, name))
    left = [name for name in known if where is None or where(load(name))]
    if not left:
        raise ValueError(f"none of {', '.join(known)} is a machine that `where` takes")
    varied = {key: st.sampled_from(values) for key, values in _OPTIONS.items()}
    return st.builds(
        _drawn, st.sampled_from(left), st.fixed_dictionaries(varied if vary_options else {})
    )
