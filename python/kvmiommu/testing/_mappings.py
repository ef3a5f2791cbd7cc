# SPDX-License-Identifier: MIT
"""What is mapped for devices after the calls of a transcript: each container's mappings.

The kernel shows its mappings nowhere. They are found from what was granted: maps and unmaps, and
the groups that left, the last of which takes the container's mappings along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["mapped"]

_UNMAP_ALL, _UNMAP_VADDR = 2, 4
_MAP_VADDR = 4
_CALL = re.compile(r"ioctl (\S+) (VFIO_\w+) ?(.*)")
# An iova that is an address of the process as well has its name.
_MAP = re.compile(r"u32:\S+ u32:(\S+) \w+:(\S+) \w+:(\S+) \w+:(\S+)")
_UNMAP = re.compile(r"u32:\S+ u32:(\S+) \w+:(\S+) \w+:(\S+)")
_ACCESS = ("", "r", "w", "rw")


@dataclass
class _Container:
    name: str
    #: By iova: the size, where it is backed, and the access.
    mappings: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)


@dataclass
class _Files:
    """The names of descriptors, and what they stand for."""

    containers: dict[str, _Container] = field(default_factory=dict)
    group_of: dict[str, str] = field(default_factory=dict)  # of groups and of their devices
    joined: dict[str, _Container] = field(default_factory=dict)
    addresses: Mapping[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """A number, or an address: a name, and how far it is from there."""
        name, _, distance = text.partition("+")
        begin = self.addresses[name] if name in self.addresses else int(name, 0)
        return begin + int(distance or "0", 0)

    def leave(self, group: str) -> None:
        if (container := self.joined.pop(group, None)) is not None:
            container.groups.discard(group)
            if not container.groups:
                container.mappings.clear()

    def close(self, name: str) -> None:
        group = self.group_of.pop(name, None)
        if group is not None and group not in self.group_of.values():
            self.leave(group)


def mapped(transcript: str, addresses: Mapping[str, int]) -> list[str]:
    """A line for each mapping. `addresses` says where the memory was that has a name."""
    files = _Files(addresses=addresses)
    every: list[_Container] = []
    for call, result in pairwise(transcript.splitlines()):
        if not result.startswith("  = ") or result.startswith("  = -"):
            continue
        match call.split():
            case ["open", name, "/dev/vfio/vfio", *_]:
                files.containers[name] = _Container(name)
                every.append(files.containers[name])
            case ["open", name, path, *_] if path.startswith("/dev/vfio/"):
                files.group_of[name] = name
            case ["dup", name, old] if old in files.containers:
                files.containers[name] = files.containers[old]
            case ["dup", name, old] if old in files.group_of:
                files.group_of[name] = files.group_of[old]
            case ["close", name]:
                files.close(name)
        if (found := _CALL.match(call)) is not None:
            _request(files, *found.groups())
    return [
        f"{container.name}: {iova:#x}-{iova + size - 1:#x} {access} {memory}"
        for container in every
        for iova, (size, memory, access) in sorted(container.mappings.items())
    ]


def _request(files: _Files, name: str, request: str, argument: str) -> None:
    container = files.containers.get(name)
    group = files.group_of.get(name)
    if request == "VFIO_GROUP_SET_CONTAINER" and group is not None:
        joined = files.containers.get(argument.removeprefix("fd:"))
        if joined is not None:
            files.joined[group] = joined
            joined.groups.add(group)
    elif request == "VFIO_GROUP_UNSET_CONTAINER" and group is not None:
        files.leave(group)
    elif request == "VFIO_GROUP_GET_DEVICE_FD" and group is not None:
        if made := re.search(r"-> (\w+)", argument):
            files.group_of[made[1]] = group
    elif container is not None:
        if request == "VFIO_IOMMU_MAP_DMA" and (found := _MAP.match(argument)):
            memory = found[2]
            flags, iova, size = (files.number(found[each]) for each in (1, 3, 4))
            access = _ACCESS[flags & 3]
            if flags & _MAP_VADDR and iova in container.mappings:
                size, _, access = container.mappings[iova]
            container.mappings[iova] = (size, memory, access)
        elif request == "VFIO_IOMMU_UNMAP_DMA" and (found := _UNMAP.match(argument)):
            _unmap(container, *map(files.number, found.groups()))


def _unmap(container: _Container, flags: int, iova: int, size: int) -> None:
    if flags & _UNMAP_VADDR:
        return
    for start in [*container.mappings]:
        if flags & _UNMAP_ALL or iova <= start < iova + size:
            del container.mappings[start]
