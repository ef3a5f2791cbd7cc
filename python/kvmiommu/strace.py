# SPDX-License-Identifier: MIT
"""Calls as strace prints them: names for requests, flags and errors, hex for addresses and sizes.

    >>> request_name(0x3B71, file="/dev/vfio/vfio")
    'VFIO_IOMMU_MAP_DMA'
    >>> hypercall_name(32)
    'H_PUT_TCE'
    >>> error_text(2)
    'ENOENT (No such file or directory)'

The names are those of `kvmiommu.uapi`. What a request's number means depends on the file: `file` is
its kind as the emulator has it, "/dev/vfio/vfio", "/dev/vfio/N", "vfio-device", "/dev/kvm",
"kvm-vm", "kvm-vcpu", "kvm-device" and so on, or "" where it is not known. On a container it depends
on the IOMMU driver too: POWER's is sPAPR, all others have type 1. A number that may still be one of
several is shown as `A or B`.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from . import uapi
from .uapi import Abi, Request, posix
from .uapi._show import Choice, Flags, fields_text, quoted

__all__ = [
    "argument_choice",
    "argument_text",
    "argument_type",
    "call_text",
    "error_text",
    "flags_text",
    "hypercall_name",
    "hypercall_text",
    "request_name",
    "request_names",
    "result_text",
    "return_code_name",
]

_MODULES = (uapi.vfio, uapi.kvm, uapi.kvm_2013, uapi.iommufd, uapi.iommufd_test)
_MAX_ERRNO = 4095
_SIGNED_BITS = 64

# --- numbers ---


def _signed(value: int, bits: int = _SIGNED_BITS) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


def error_text(error: int) -> str:
    """An errno, positive or negative: its name, and what it says."""
    number = abs(error)
    return f"{errno.errorcode.get(number, f'E{number}')} ({os.strerror(number)})"


def flags_text(value: int, *patterns: str, abi: Abi = "generic") -> str:
    """Bits by the constants whose names match: `flags_text(3, "PROT_*")` is PROT_READ|PROT_WRITE.

    What has no name is hex. `patterns` are those of `fnmatch`.
    """
    return _flags(patterns).text(value, uapi.constants(abi))


@cache
def _flags(patterns: tuple[str, ...]) -> Flags:
    return Flags(*patterns)


def _name(path: str) -> str:
    return quoted(os.fsencode(path), most=4096)


def _open_flags(value: int, abi: Abi) -> str:
    names = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR", 3: "O_ACCMODE"}
    mode, rest = names[value & posix.O_ACCMODE], value & ~posix.O_ACCMODE
    return f"{mode}|{flags_text(rest, 'O_*', abi=abi)}" if rest else mode


def _map_flags(value: int, abi: Abi) -> str:
    kinds = {1: "MAP_SHARED", 2: "MAP_PRIVATE", 3: "MAP_SHARED_VALIDATE"}
    kind, rest = kinds.get(value & 3, "0"), value & ~3
    return f"{kind}|{flags_text(rest, 'MAP_*', abi=abi)}" if rest else kind


# --- requests ---


@cache
def _requests(abi: Abi) -> Mapping[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for module in _MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, Request):
                number = value.number(abi)
                found[number] = (*found.get(number, ()), name)
    return found


@cache
def _requests_by_name() -> Mapping[str, Request]:
    return {
        name: value
        for module in _MODULES
        for name in module.__all__
        if isinstance(value := getattr(module, name), Request)
    }


#: How the requests of a kind of file are called. KVM's numbers are its own whatever the file.
_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "/dev/vfio/N": ("VFIO_GROUP_",),
    "vfio-device": ("VFIO_DEVICE_",),
    "/dev/iommu": ("IOMMU_",),
    **dict.fromkeys(
        ("/dev/kvm", "kvm-vm", "kvm-vcpu", "kvm-device", "kvm-spapr-tce", "kvm-spapr-tce-iommu"),
        ("KVM_",),
    ),
}
_CONTAINER = (
    "VFIO_GET_API_VERSION",
    "VFIO_CHECK_EXTENSION",
    "VFIO_SET_IOMMU",
    "VFIO_IOMMU_",
    "VFIO_EEH_",
)
_SPAPR = ("VFIO_IOMMU_SPAPR_", "VFIO_IOMMU_ENABLE", "VFIO_IOMMU_DISABLE", "VFIO_EEH_")


def request_names(number: int, abi: Abi = "generic", file: str = "") -> tuple[str, ...]:
    """The names that a request's number may have, as `abi` encodes it; () where it has none."""
    names = _requests(abi).get(number & 0xFFFF_FFFF, ())
    if file.startswith("/dev/vfio/") and file not in ("/dev/vfio/vfio", "/dev/vfio/N"):
        file = "/dev/vfio/N"
    prefixes = _CONTAINER if file == "/dev/vfio/vfio" else _PREFIXES.get(file)
    if prefixes is None:
        return names
    fitting = tuple(name for name in names if name.startswith(prefixes))
    if file == "/dev/vfio/vfio" and len(fitting) > 1:
        spapr = tuple(name for name in fitting if name.startswith(_SPAPR))
        return spapr if abi == "power" else tuple(each for each in fitting if each not in spapr)
    # A program may well make a call that is another file's.
    return fitting or names


def request_name(number: int, abi: Abi = "generic", file: str = "") -> str:
    """A request as strace shows it: `VFIO_IOMMU_MAP_DMA`, `A or B`, `_IOC(_IOC_NONE, 0x3b, …)`."""
    number &= 0xFFFF_FFFF
    names = request_names(number, abi, file)
    return " or ".join(names) if names else _unknown_request(number, abi)


def _unknown_request(number: int, abi: Abi) -> str:
    if abi == "power":
        directions, shift, bits = {1: "_IOC_NONE", 2: "_IOC_READ", 4: "_IOC_WRITE"}, 29, 13
        directions[6] = "_IOC_READ|_IOC_WRITE"
    else:
        directions, shift, bits = {0: "_IOC_NONE", 1: "_IOC_WRITE", 2: "_IOC_READ"}, 30, 14
        directions[3] = "_IOC_READ|_IOC_WRITE"
    way = directions.get(number >> shift, f"{number >> shift:#x}")
    size = number >> 16 & ((1 << bits) - 1)
    return f"_IOC({way}, {number >> 8 & 0xFF:#x}, {number & 0xFF:#x}, {size:#x})"


# --- arguments ---

_EXTENSIONS = Choice(
    "VFIO_*_IOMMU", "VFIO_EEH", "VFIO_UNMAP_ALL", "VFIO_UPDATE_VADDR", without="KVM_*"
)
_CAPABILITIES = Choice("KVM_CAP_*", without="KVM_CAP_SPAPR_TCE_IOMMU")
#: Requests whose argument is one of these constants itself.
_CHOICES: Mapping[str, Choice] = {
    "VFIO_CHECK_EXTENSION": _EXTENSIONS,
    "VFIO_SET_IOMMU": _EXTENSIONS,
    "KVM_CHECK_EXTENSION": _CAPABILITIES,
}
#: What follows a structure, where the structure alone does not say.
_TAILS: Mapping[str, type[ctypes.Structure]] = {
    "vfio_iommu_type1_dma_unmap": uapi.vfio.vfio_bitmap,
    "vfio_iommu_type1_dirty_bitmap": uapi.vfio.vfio_iommu_type1_dirty_bitmap_get,
    "vfio_pci_hot_reset_info": uapi.vfio.vfio_pci_dependent_device,
}


def argument_type(request: str) -> type[Any] | None:
    """What the argument of the request of that name points to: a structure, a number, or c_char for
    a string. None: nothing, or it is not known."""
    found = _requests_by_name().get(request)
    return found.argument if found is not None else None


def argument_choice(request: str) -> Choice | None:
    """The constants that the request of that name takes as a number."""
    return _CHOICES.get(request)


def argument_text(
    request: str, argument: int, before: bytes | None = None, after: bytes | None = None
) -> str:
    """The argument of the request of that name: a number, or the block that stands behind it.

    `before` is the block as the call found it, `after` as it left it: `{size=0x1000 => 0}`. They
    may be cut short. None: nothing is known of the block.
    """
    kind = argument_type(request)
    if before is None:
        choice = argument_choice(request)
        return choice.text(argument, uapi.constants()) if choice else _hex(argument)
    left = before if after is None else after
    if kind is None:
        return _changed(quoted(before), quoted(left))
    if kind is ctypes.c_char:
        return quoted(before.split(b"\0")[0], 64)
    if issubclass(kind, ctypes.Structure):
        return _structure(kind, before, left)
    return f"[{_changed(_simple(kind, before), _simple(kind, left))}]"


def _simple(kind: type[Any], data: bytes) -> str:
    return str(kind.from_buffer_copy(data.ljust(ctypes.sizeof(kind), b"\0")).value)


def _changed(old: str, new: str) -> str:
    return old if old == new else f"{old} => {new}"


def _structure(kind: type[ctypes.Structure], before: bytes, after: bytes) -> str:
    size = ctypes.sizeof(kind)
    old, new = (kind.from_buffer_copy(each[:size].ljust(size, b"\0")) for each in (before, after))
    parts = fields_text(new, old)
    tail = _tail(kind, old, new, before[size:], after[size:])
    return "{" + ", ".join([*parts, *tail]) + "}"


def _tail(
    kind: type[ctypes.Structure], old: Any, new: Any, before: bytes, after: bytes
) -> Iterable[str]:
    if not any(before) and not any(after):
        return
    if kind is uapi.vfio.vfio_irq_set and old.count:
        width = 4 if old.flags & uapi.vfio.VFIO_IRQ_SET_DATA_EVENTFD else 1
        entries = [
            int.from_bytes(before[at : at + width], "little", signed=width == 4)
            for at in range(0, min(old.count * width, len(before)), width)
        ]
        yield f"data={entries}"
        return
    if kind is uapi.vfio.vfio_pci_hot_reset:
        entries = [
            int.from_bytes(before[at : at + 4], "little", signed=True)
            for at in range(0, min(old.count * 4, len(before)), 4)
        ]
        yield f"group_fds={entries}"
        return
    follows = _TAILS.get(kind.__name__)
    if follows is not None:
        size = ctypes.sizeof(follows)
        many = [
            _structure(follows, before[at : at + size], after[at : at + size])
            for at in range(0, len(after) - size + 1, size)
            if any(before[at : at + size]) or any(after[at : at + size])
        ]
        yield many[0] if len(many) == 1 else f"[{', '.join(many)}]"
        return
    yield _changed(quoted(before), quoted(after)) if any(before) else quoted(after)


# --- hypercalls ---


@cache
def _hypercalls() -> tuple[Mapping[int, str], Mapping[int, str]]:
    """Hypercalls and return codes. The return codes are the numbers that begin with H_SUCCESS."""
    names = [name for name in uapi.papr.__all__ if name.startswith("H_")]
    first = names.index("H_SUCCESS")
    return (
        {getattr(uapi.papr, name): name for name in names[:first]},
        {getattr(uapi.papr, name): name for name in names[first:]},
    )


def hypercall_name(number: int) -> str:
    """H_PUT_TCE and its like; a number that has no name here in hex."""
    return _hypercalls()[0].get(number, f"{number:#x}")


def return_code_name(r3: int) -> str:
    """H_SUCCESS and its like, of a signed or an unsigned r3; a number without a name in decimal."""
    value = _signed(r3)
    return _hypercalls()[1].get(value, str(value))


def hypercall_text(
    number: int, arguments: Sequence[int], r3: int | None = None, r4: int | None = None
) -> str:
    """`H_PUT_TCE(0x80000001, 0x30000, 0x10003) = H_SUCCESS`, with `exit` where r3 is None: KVM left
    it to user space. r4 is shown where it is given, and of a successful H_GET_TCE."""
    name = hypercall_name(number)
    if r3 is None:
        answer = "exit"
    else:
        answer = return_code_name(r3)
        if r4 is not None and name == "H_GET_TCE" and answer == "H_SUCCESS":
            answer += f", {_hex(r4)}"
    return f"{name}({', '.join(_hex(each) for each in arguments)}) = {answer}"


# --- calls ---


def _fd(value: int, abi: Abi) -> str:
    return str(_signed(value, 32))


def _decimal(value: int, abi: Abi) -> str:
    return str(_signed(value))


def _address(value: int, abi: Abi) -> str:
    return _hex(value) if value else "NULL"


def _size(value: int, abi: Abi) -> str:
    return _hex(value)


def _protection(value: int, abi: Abi) -> str:
    return flags_text(value, "PROT_*", abi=abi) if value else "PROT_NONE"


def _events(value: int, abi: Abi) -> str:
    return flags_text(value, "POLL*", abi=abi)


def _eventfd_flags(value: int, abi: Abi) -> str:
    return _bits(value, {1: "EFD_SEMAPHORE", 0o4000: "EFD_NONBLOCK", 0o2000000: "EFD_CLOEXEC"})


def _memfd_flags(value: int, abi: Abi) -> str:
    return _bits(value, {1: "MFD_CLOEXEC", 2: "MFD_ALLOW_SEALING", 4: "MFD_HUGETLB"})


def _bits(value: int, names: Mapping[int, str]) -> str:
    parts = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    return "|".join([*parts, *([f"{rest:#x}"] if rest else [])]) or "0"


#: How each argument of a call is shown.
_CALLS: Mapping[str, tuple[Callable[[int, Abi], str], ...]] = {
    "close": (_fd,),
    "dup": (_fd,),
    "eventfd2": (_decimal, _eventfd_flags),
    "ftruncate": (_fd, _size),
    "poll": (_fd, _events),
    "mmap": (_address, _size, _protection, _map_flags, _fd, _size),
    "munmap": (_address, _size),
    "mprotect": (_address, _size, _protection),
    "read": (_fd, _address, _size),
    "write": (_fd, _address, _size),
    "pread64": (_fd, _address, _size, _size),
    "pwrite64": (_fd, _address, _size, _size),
}
_MOVING = ("read", "write", "pread64", "pwrite64")


def call_text(
    call: str,
    arguments: Sequence[int],
    *,
    abi: Abi = "generic",
    file: str = "",
    path: str = "",
    before: bytes | None = None,
    after: bytes | None = None,
) -> str:
    """A system call with its arguments, without its result.

    `file` is the kind of the file that it is made on, `path` that of an open or the name of a
    memfd. `before` and `after` are the argument block of an ioctl as `argument_text` takes it; the
    data of a write, and of a read.
    """
    match call:
        case "open":
            return f"openat(AT_FDCWD, {_name(path)}, {_open_flags(arguments[0], abi)})"
        case "memfd_create":
            return f"memfd_create({_name(path)}, {_memfd_flags(arguments[0], abi)})"
        case "ioctl":
            fd, number, argument = arguments[:3]
            name = request_name(number, abi, file)
            shown = argument_text(name, argument, before, after)
            return f"ioctl({_fd(fd, abi)}, {name}, {shown})"
        case "poll" if len(arguments) == 2:
            fd, events = arguments
            return f"poll([{{fd={_fd(fd, abi)}, events={_events(events, abi)}}}], 1, 0)"
    ways = _CALLS.get(call, ())
    shown_arguments = [
        ways[at](value, abi) if at < len(ways) else _hex(value)
        for at, value in enumerate(arguments)
    ]
    data = after if after else before
    if call in _MOVING and data and len(shown_arguments) > 1:
        shown_arguments[1] = quoted(data)
    if call == "mmap" and len(arguments) == 6 and arguments[3] & posix.MAP_ANONYMOUS:
        shown_arguments[4] = "-1"
    return f"{call}({', '.join(shown_arguments)})"


def result_text(call: str, result: int, *, abi: Abi = "generic") -> str:
    """What a call returned, or the negative errno: `3`, `0x7f…` for an address, `-1 EINVAL (…)`."""
    if -_MAX_ERRNO <= result < 0:
        return f"-1 {error_text(result)}"
    if call == "mmap":
        return _hex(result)
    if call == "poll" and result:
        return f"1 ([{{revents={_events(result, abi)}}}])"
    return str(result)
