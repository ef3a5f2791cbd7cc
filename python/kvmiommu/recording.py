# SPDX-License-Identifier: MIT
"""Records the calls of a process as a transcript that can be replayed.

    system = System("q35-intel", record=True)
    process = system.process()
    ...
    Path("calls.uapi").write_text(system.transcript())

`kvmiommu replay --machine q35-intel calls.uapi` makes the calls again.

Descriptors and memory have names in a transcript, so that it does not depend on their numbers and
addresses: a number is taken for an address where it lies in what the process has mapped, or had
mapped before anything else was mapped there. Calls stand in the order in which they returned.

What a transcript cannot say becomes a comment that begins with `# not recorded:`

- calls of any process but the first one that made a call;
- mmap() at an address, and an alignment other than none or 2 MiB;
- memory that is written through `Process.view`, or by a device model of one's own;
- what was read where it has an address in it, which is another one in each run;
- limits other than RLIMIT_MEMLOCK, or with two values; flags of eventfd() and memfd_create() that
  change what they do; a path with a space in it;
- `Process.exit` and `Process.interrupt`, sleeps that ran into their timeout or were interrupted,
  and whatever raised something else than a refusal of the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import operator
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

from . import strace, uapi
from ._named_memory import NamedMemory
from .descriptor import AnyDescriptor, Descriptor
from .errors import MemoryFault
from .process import Process
from .transcript.errnos import name_of
from .uapi import posix
from .uapi._show import Choice, Flags

if TYPE_CHECKING:
    from ._core import ReadableBuffer, View
    from .system import System

__all__ = ["Recorder", "RecordingProcess"]

_T = TypeVar("_T")
_LONGEST_BLOCK = 65536 - 4096  # bytes, as the format has it
_ALIGNED = 2 << 20  # what the call `mem` aligns to
_RLIMIT_MEMLOCK = 8
_NO_LIMIT = 0xFFFF_FFFF_FFFF_FFFF
_EFD_SEMAPHORE = 1

#: Requests that return a descriptor, and what it is called.
_MAKES = {
    "VFIO_GROUP_GET_DEVICE_FD": "device",
    "KVM_CREATE_VM": "vm",
    "KVM_CREATE_VCPU": "vcpu",
    "KVM_CREATE_SPAPR_TCE": "table",
    "KVM_CREATE_SPAPR_TCE_64": "table",
    "KVM_CREATE_SPAPR_TCE_IOMMU": "link",
    "KVM_GET_STATS_FD": "stats",
}
_OPENED = {"/dev/vfio/vfio": "container", "/dev/kvm": "kvm", "/dev/iommu": "iommu"}
#: Attributes of the VFIO device of KVM whose addresses have descriptors behind them: how many.
_DESCRIPTORS_BEHIND = {
    uapi.kvm.KVM_DEV_VFIO_FILE_ADD: 1,
    uapi.kvm.KVM_DEV_VFIO_FILE_DEL: 1,
    uapi.kvm.KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: 2,
}
_UNSIGNED = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}


@dataclass(slots=True)
class _Field:
    """A token of an argument block, its place, and the value that went in."""

    type: str
    text: str
    offset: int
    size: int
    value: int = 0

    def __str__(self) -> str:
        return f"{self.type}:{self.text}"

    def after(self, block: bytes | bytearray) -> str:
        """The field as the answer shows it."""
        data = block[self.offset : self.offset + self.size]
        if self.type in ("hex", "zero", "str"):
            zero = self.type != "str" and not any(data)
            return f"zero:{self.size}" if zero else f"hex:{data.hex()}"
        now = int.from_bytes(data, "little")
        if now == self.value:
            return str(self)
        return f"{self.type}:changed" if self.type in ("ptr", "fd") else f"{self.type}:{now:#x}"


class Recorder:
    """The calls of a system's processes, as the lines of a transcript: of the first `most` calls,
    or of all."""

    def __init__(
        self, machine: str, abi: uapi.Abi, models: Sequence[str] = (), *, most: int | None = None
    ) -> None:
        self.abi = abi
        self._left = most
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._processes = 0
        # The number of the first process that made a call; a recorder keeps none of them.
        self._first: int | None = None
        self._addresses: dict[int, dict[str, int]] = {}  # by process: where what it named is
        self._calls = 0
        self._head = [f"# title: calls of a process on {machine}"]
        if models:
            self._head.append(
                f"# not recorded: device models of one's own at {', '.join(models)}; the machine's "
                "own devices are there when this is replayed"
            )

    def transcript(self) -> str:
        """The calls so far."""
        with self._lock:
            return "\n".join([*self._head, "", *self._lines, ""])

    @property
    def calls(self) -> int:
        """How many there were so far, recorded or not."""
        return self._calls

    def addresses(self) -> dict[str, int]:
        """Where the memory was that the transcript has names for."""
        with self._lock:
            return {**self._addresses.get(self._first or 0, {})}

    def place(self, process: RecordingProcess, name: str, address: int) -> None:
        """What memory of that name is about to be named in calls, and where it is."""
        with self._lock:
            if self._left is None or self._left > 0:
                self._addresses.setdefault(process.number, {})[name] = address

    def take_number(self) -> int:
        """The number of another process, from 1 on."""
        with self._lock:
            self._processes += 1
            return self._processes

    def add(self, process: RecordingProcess, call: str, result: str, block: str = "") -> None:
        """One call and its answer."""
        with self._lock:
            self._calls += 1
            if not self._has_room():
                return
            if self._first is None:
                self._first = process.number
            if self._first != process.number:
                self._lines.append(
                    f"# not recorded: a call of process {process.number}: {call} = {result}"
                )
                return
            self._lines += [call, f"  = {result}", *([f"  > {block}"] if block else [])]

    def _has_room(self) -> bool:
        if self._left is None:
            return True
        self._left -= 1
        if self._left == -1:
            self._lines.append("# not recorded: the calls that follow, which were too many")
        return self._left >= 0

    def comment(self, process: RecordingProcess, text: str) -> None:
        """What a transcript cannot say."""
        with self._lock:
            if not self._has_room():
                return
            whose = "" if process.number == 1 else f"process {process.number}: "
            self._lines.append(f"# not recorded: {whose}{text}")


class RecordingProcess(Process):
    """A process whose calls are recorded. `System.process` makes one where `record` is set."""

    def __init__(self, system: System, recorder: Recorder) -> None:
        super().__init__(system)
        self._recorder = recorder
        self.number = recorder.take_number()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._names: dict[int, str] = {}  # of descriptors
        self._kinds: dict[int, str] = {}  # of files, as strace knows them
        self._memory = NamedMemory()

    # --- names

    def _new_name(self, kind: str) -> str:
        with self._lock:
            self._counts[kind] += 1
            count = self._counts[kind]
        return kind if count == 1 else f"{kind}{count}"

    def _name_fd(self, fd: int, name: str, kind: str) -> None:
        self._names[fd] = name
        self._kinds[fd] = kind

    def _fd(self, fd: AnyDescriptor) -> str:
        number = _descriptor(fd)
        return self._names.get(number, str(number))

    def _whole_pages(self, length: int) -> int:
        return -(-_int(length) // self.page_size) * self.page_size

    def _address(self, address: int) -> str:
        number = _int(address)
        return self._memory.symbol(number) or f"{number & _NO_LIMIT:#x}"

    # --- tokens

    def _bytes(self, data: bytes, base: int = 0) -> list[_Field]:
        """Bytes without a known layout; addresses in them are found by their values."""
        fields: list[_Field] = []
        begin = 0

        def plain(end: int) -> None:
            piece = data[begin:end]
            if piece:
                kind, text = ("hex", piece.hex()) if any(piece) else ("zero", str(len(piece)))
                fields.append(_Field(kind, text, base + begin, len(piece)))

        for at, value, symbol in self._memory.symbols(data):
            plain(at)
            fields.append(_Field("ptr", symbol, base + at, 8, value))
            begin = at + 8
        plain(len(data))
        return fields or [_Field("zero", "0", base, 0)]

    def _data(self, buffer: ReadableBuffer) -> str:
        try:
            data = bytes(memoryview(buffer))
        except (TypeError, ValueError):
            return ""
        return " ".join(map(str, self._bytes(data)))

    def _block(self, request: str, data: bytes) -> list[_Field]:
        """The fields of an argument block."""
        kind = strace.argument_type(request)
        if kind is ctypes.c_char:
            text = data[:-1]
            if data[-1:] == b"\0" and re.fullmatch(rb"[!-~]+", text):
                return [_Field("str", text.decode(), 0, len(data))]
            return self._bytes(data)
        if kind is None:
            return self._bytes(data)
        if not issubclass(kind, ctypes.Structure):
            size = ctypes.sizeof(kind)
            if len(data) < size:
                return self._bytes(data)
            head = self._scalar("fd" if kind is ctypes.c_int32 else "", data[:size], 0)
            return [head, *(self._bytes(data[size:], size) if data[size:] else [])]
        return self._structure(kind, data)

    def _structure(self, kind: type[ctypes.Structure], data: bytes) -> list[_Field]:
        fields: list[_Field] = []
        at = 0
        for name, member, offset in _layout(kind):
            end = offset + ctypes.sizeof(member)
            if end > len(data):
                break
            if offset > at:
                fields += self._bytes(data[at:offset], at)
            if issubclass(member, ctypes.Array | ctypes.Structure | ctypes.Union):
                fields += self._bytes(data[offset:end], offset)
            else:
                fields.append(self._scalar(name, data[offset:end], offset))
            at = end
        if at == ctypes.sizeof(kind) and _ends_with_descriptors(kind, data):
            while at + 4 <= len(data):
                fields.append(self._scalar("fd", data[at : at + 4], at))
                at += 4
        if at < len(data) or not fields:
            fields += self._bytes(data[at:], at)
        return fields

    def _scalar(self, name: str, data: bytes, offset: int) -> _Field:
        size = len(data)
        value = int.from_bytes(data, "little")
        if size == 4 and name.endswith("fd"):  # as the fields of all requests that have one
            if value in self._names:
                return _Field("fd", self._names[value], offset, size, value)
            if value == 0xFFFF_FFFF:
                return _Field("fd", "-1", offset, size, value)
        symbol = self._memory.symbol(value) if size == 8 else None
        if symbol is not None:
            return _Field("ptr", symbol, offset, size, value)
        text = str(value) if value < 10 else f"{value:#x}"
        return _Field(_UNSIGNED[size], text, offset, size, value)

    # --- a call and its answer

    def _record(
        self,
        call: str,
        perform: Callable[[], _T],
        result: Callable[[_T], tuple[str, str]],
        *,
        sleeps: bool = False,
    ) -> _T:
        """Makes a call; `result` says what is recorded of its value, and names what it made."""
        try:
            value = perform()
        except Exception as error:
            answer = _refused(error)
            slept = sleeps and answer == "-EINTR"
            if answer is None or slept:
                self._recorder.comment(self, f"{call}: raised {_kind_of(error)}: {error}")
            else:
                self._recorder.add(self, call, answer)
            raise
        self._recorder.add(self, call, *result(value))
        return value

    def _makes(self, call: str, kind: str, file: str, perform: Callable[[], int]) -> int:
        """A call that makes a descriptor; {} in its text stands for the name."""
        name = self._new_name(kind)

        def made(fd: int) -> tuple[str, str]:
            self._name_fd(fd, name, file)
            return "ok", ""

        return self._record(call.format(name), perform, made)

    # --- descriptors

    def open(self, path: str | bytes | PathLike[str] | PathLike[bytes], flags: int) -> int:
        given = path

        def perform() -> int:
            return super(RecordingProcess, self).open(given, flags)

        path = _path(given)
        if not path or not path.isprintable() or any(c.isspace() or c in "{}" for c in path):
            self._recorder.comment(self, f"open of {path!r}")
            return perform()
        bits = _int(flags)
        shown = _flags(bits & posix.O_ACCMODE, bits & ~posix.O_ACCMODE, "O_*", self.abi)
        kind = _OPENED.get(path, "group" if path.startswith("/dev/vfio/") else "file")
        return self._makes(f"open {{}} {path} {shown}", kind, path, perform)

    def close(self, fd: AnyDescriptor) -> None:
        call = f"close {self._fd(fd)}"
        number = _descriptor(fd)
        # Before the call, which makes the number another thread's.
        name, kind = self._names.pop(number, None), self._kinds.pop(number, "")
        try:
            self._record(call, lambda: super(RecordingProcess, self).close(fd), lambda _: ("0", ""))
        except BaseException:
            if name is not None and self._names.setdefault(number, name) == name:
                self._kinds[number] = kind
            raise

    def dup(self, fd: AnyDescriptor) -> int:
        def perform() -> int:
            return super(RecordingProcess, self).dup(fd)

        number = _descriptor(fd)
        kind = self._names.get(number, "file").rstrip("0123456789")
        return self._makes(f"dup {{}} {self._fd(fd)}", kind, self._kinds.get(number, ""), perform)

    def eventfd(self, initval: int = 0, flags: int = 0) -> int:
        def perform() -> int:
            return super(RecordingProcess, self).eventfd(initval, flags)

        if _int(flags) & ~posix.O_NONBLOCK & ~posix.O_CLOEXEC:
            self._recorder.comment(self, f"eventfd({initval}, {_int(flags):#x}): its flags")
        fd = self._makes("eventfd {}", "eventfd", "eventfd", perform)
        if initval:
            self._recorder.add(self, f"write {self._fd(fd)} u64:{initval}", "8")
        return fd

    def memfd_create(self, name: str, flags: int = 0) -> int:
        def perform() -> int:
            return super(RecordingProcess, self).memfd_create(name, flags)

        if _int(flags) & ~1:  # MFD_CLOEXEC
            self._recorder.comment(self, f"memfd_create({name!r}, {_int(flags):#x}): its flags")
        return self._makes("memfd {} 0", "memfd", "memfd", perform)

    def ftruncate(self, fd: AnyDescriptor, length: int) -> None:
        self._record(
            f"truncate {self._fd(fd)} {_number(length)}",
            lambda: super(RecordingProcess, self).ftruncate(fd, length),
            lambda _: ("0", ""),
        )

    # --- what files return

    def ioctl(
        self,
        fd: AnyDescriptor,
        request: int,
        arg: int | ReadableBuffer | None = 0,
        *,
        timeout: float | None = None,
    ) -> int:
        names = strace.request_names(_int(request), self.abi, self._kinds.get(_descriptor(fd), ""))
        name = names[0] if names and _int(request) >> 32 == 0 else ""
        head = f"ioctl {self._fd(fd)} {name or f'{_int(request):#x}'}"
        sleeps = name != "KVM_RUN"
        makes = next((_MAKES[each] for each in names if each in _MAKES), "")
        made = self._new_name(makes) if makes else ""
        tail = f" -> {made}" if made else ""

        def returned(value: int) -> tuple[str, str]:
            if made:
                self._name_fd(value, made, _FILES.get(makes, ""))
                return "ok", ""
            return str(value), ""

        if arg is None or _is_number(arg):
            choice = strace.argument_choice(name)
            text = "null"
            if arg:
                number = _int(arg) & _NO_LIMIT
                text = f"val:{_choice(choice, number) or self._address(number)}"
            return self._record(
                f"{head} {text}{tail}",
                lambda: super(RecordingProcess, self).ioctl(fd, request, arg, timeout=timeout),
                returned,
                sleeps=sleeps,
            )
        return self._ioctl_block(
            fd,
            request,
            cast("ReadableBuffer", arg),
            timeout,
            (head, name, tail),
            returned,
            sleeps=sleeps,
        )

    def _ioctl_block(
        self,
        fd: AnyDescriptor,
        request: int,
        arg: ReadableBuffer,
        timeout: float | None,
        words: tuple[str, str, str],
        returned: Callable[[int], tuple[str, str]],
        *,
        sleeps: bool,
    ) -> int:
        head, name, tail = words
        try:
            view = memoryview(arg).cast("B")
        except (TypeError, ValueError):
            return super().ioctl(fd, request, arg, timeout=timeout)  # which refuses it
        block = bytearray(view)
        if name == "KVM_SET_DEVICE_ATTR":
            self._name_descriptors_behind(bytes(block))
        # What is known of a block is its layout before the call.
        fields = self._block(name, bytes(block)) if len(block) <= _LONGEST_BLOCK else []
        bound = ""
        if name == "KVM_CREATE_DEVICE" and len(block) >= 12 and not block[8] & 1:
            bound = self._new_name("kvmdevice")
            tail += f" bind {bound} 4"
        call = f"{head} {' '.join(map(str, fields))}{tail}"
        try:
            value = super().ioctl(fd, request, block, timeout=timeout)
        except Exception as error:
            result = _refused(error)
            if sleeps and result == "-EINTR":
                result = None
            if result is None or not fields:
                why = f"raised {_kind_of(error)}: {error}" if result is None else "its length"
                self._recorder.comment(self, f"{head}: {why}")
            else:
                self._recorder.add(self, call, result, _after(fields, block))
            raise
        else:
            result, _ = returned(value)
            if bound:
                made = int.from_bytes(block[4:8], "little")
                field = next(each for each in fields if each.offset == 4)
                field.value, field.text = made, bound
                self._name_fd(made, bound, "kvm-device")
            if fields:
                self._recorder.add(self, call, result, _after(fields, block))
            else:
                self._recorder.comment(self, f"{head}: a block of {len(block)} bytes")
            return value
        finally:
            if not view.readonly:
                view[:] = block

    def _name_descriptors_behind(self, block: bytes) -> None:
        """Records a store of the descriptors that an attribute has in the process's memory, now
        that it is known that they are some: as numbers they would be those of this run."""
        if len(block) < ctypes.sizeof(uapi.kvm.kvm_device_attr):
            return
        attribute = uapi.kvm.kvm_device_attr.from_buffer_copy(block)
        count = _DESCRIPTORS_BEHIND.get(attribute.attr, 0)
        if attribute.group != uapi.kvm.KVM_DEV_VFIO_FILE or not count:
            return
        try:
            data = super().peek(attribute.addr, 4 * count)
            fields = [self._scalar("fd", data[at : at + 4], at) for at in range(0, 4 * count, 4)]
            if any(field.type == "fd" and field.value in self._names for field in fields):
                tokens = " ".join(map(str, fields))
                self._recorder.add(self, f"poke {self._address(attribute.addr)} {tokens}", "ok")
        except (MemoryFault, OSError):
            return  # the request finds out as well

    def _read(self, call: str, perform: Callable[[], bytes]) -> bytes:
        try:
            data = perform()
        except Exception as error:
            answer = _refused(error)
            if answer is None or answer == "-EINTR":
                self._recorder.comment(self, f"{call}: raised {_kind_of(error)}: {error}")
            else:
                self._recorder.add(self, call, answer)
            raise
        if self._memory.symbols(data):
            self._recorder.comment(self, f"{call}: what was read has an address in it")
        else:
            self._recorder.add(self, call, str(len(data)), _read_field(data) if data else "")
        return data

    def read(self, fd: AnyDescriptor, length: int, *, timeout: float | None = None) -> bytes:
        return self._read(
            f"read {self._fd(fd)} {_number(length)}",
            lambda: super(RecordingProcess, self).read(fd, length, timeout=timeout),
        )

    def pread(self, fd: AnyDescriptor, length: int, offset: int) -> bytes:
        return self._read(
            f"pread {self._fd(fd)} {_number(length)} {_number(offset)}",
            lambda: super(RecordingProcess, self).pread(fd, length, offset),
        )

    def write(
        self, fd: AnyDescriptor, data: ReadableBuffer, *, timeout: float | None = None
    ) -> int:
        return self._record(
            f"write {self._fd(fd)} {self._data(data)}",
            lambda: super(RecordingProcess, self).write(fd, data, timeout=timeout),
            lambda count: (str(count), ""),
            sleeps=True,
        )

    def pwrite(self, fd: AnyDescriptor, data: ReadableBuffer, offset: int) -> int:
        return self._record(
            f"pwrite {self._fd(fd)} {_number(offset)} {self._data(data)}",
            lambda: super(RecordingProcess, self).pwrite(fd, data, offset),
            lambda count: (str(count), ""),
        )

    def poll(self, fd: AnyDescriptor, events: int) -> int:
        return self._record(
            f"poll {self._fd(fd)} {_flags(0, _int(events), 'POLL*', self.abi)}",
            lambda: super(RecordingProcess, self).poll(fd, events),
            lambda found: (str(found), ""),
        )

    # --- memory

    def mmap(
        self,
        length: int,
        prot: int,
        flags: int,
        fd: AnyDescriptor = -1,
        offset: int = 0,
        *,
        address: int = 0,
        align: int = 0,
    ) -> int:
        given = (prot, flags)
        prot, flags = map(_int, given)
        anonymous = bool(flags & posix.MAP_ANONYMOUS)
        name = self._new_name("buf" if anonymous else f"{self._fd(fd).lstrip('-0123456789')}map")
        kind = flags & 3
        shown = _flags(kind, flags & ~3, "MAP_*", self.abi)
        protection = _flags(0, prot, "PROT_*", self.abi)
        file = "-1" if anonymous else self._fd(fd)
        call = f"mmap {name} {file} {_number(length)} {protection} {shown} {_number(offset)}"
        if align == _ALIGNED and anonymous and kind in (1, 2) and prot in (1, 3):
            words = ["shared"] * (kind == 1) + ["ro"] * (prot == 1)
            rest = flags & ~3 & ~posix.MAP_ANONYMOUS
            words += ["huge"] * (rest == posix.MAP_HUGETLB)
            if rest in (0, posix.MAP_HUGETLB):
                call = " ".join([f"mem {name} {_number(length)}", *words])
        if _int(address) or (_int(align) and not call.startswith("mem ")):
            where = f"at {_int(address):#x}" if address else f"aligned to {_int(align):#x}"
            self._recorder.comment(self, f"mmap {where}, not anywhere as here:")

        def mapped(at: int) -> tuple[str, str]:
            self._memory.add(at, self._whole_pages(length), name)
            self._recorder.place(self, name, at)
            return "ok", ""

        return self._record(
            call,
            lambda: super(RecordingProcess, self).mmap(
                length, *given, fd, offset, address=address, align=align
            ),
            mapped,
        )

    def munmap(self, address: int, length: int) -> None:
        call = f"unmem {self._address(address)} {_number(length)}"
        # Before the call, which makes the addresses another thread's.
        with self._memory.removing(_int(address), self._whole_pages(length)):
            self._record(
                call,
                lambda: super(RecordingProcess, self).munmap(address, length),
                lambda _: ("0", ""),
            )

    def mprotect(self, address: int, length: int, prot: int) -> None:
        protection = _flags(0, _int(prot), "PROT_*", self.abi)
        self._record(
            f"protect {self._address(address)} {_number(length)} {protection}",
            lambda: super(RecordingProcess, self).mprotect(address, length, prot),
            lambda _: ("0", ""),
        )

    def peek(self, address: int, length: int) -> bytes:
        call = f"peek {self._address(address)} {_number(length)}"
        try:
            data = super().peek(address, length)
        except MemoryFault as fault:
            self._recorder.add(self, call, fault.signal)
            raise
        if self._memory.symbols(data):
            self._recorder.comment(self, f"{call}: what was read has an address in it")
        elif data:
            self._recorder.add(self, call, "ok", _read_field(data))
        return data

    def poke(self, address: int, data: ReadableBuffer) -> None:
        self._record(
            f"poke {self._address(address)} {self._data(data)}",
            lambda: super(RecordingProcess, self).poke(address, data),
            lambda _: ("ok", ""),
        )

    def _view(self, address: int, length: int) -> View:
        self._recorder.comment(
            self, f"a view of {_number(length)} bytes of {self._address(address)}"
        )
        return super()._view(address, length)

    # --- the guest on a vcpu

    def _queue_hypercalls(self, fd: AnyDescriptor, calls: Sequence[Sequence[int]]) -> None:
        super()._queue_hypercalls(fd, calls)
        for number, *arguments in calls:
            words = [strace.hypercall_name(number), *(f"{each:#x}" for each in arguments)]
            self._recorder.add(self, f"queue {self._fd(fd)} {' '.join(words)}", "ok")

    def _take_hypercall_answers(self, fd: AnyDescriptor) -> list[tuple[int, int, int]]:
        answers = super()._take_hypercall_answers(fd)
        block = " ".join(f"u64:{each & _NO_LIMIT:#x}" for answer in answers for each in answer)
        self._recorder.add(self, f"answers {self._fd(fd)}", str(len(answers)), block)
        return answers

    # --- the task itself

    def exit(self) -> None:
        self._recorder.comment(self, "the process exits")
        super().exit()

    def interrupt(self) -> None:
        self._recorder.comment(self, "the process's sleeping calls are interrupted")
        super().interrupt()

    def setrlimit(self, resource: int, soft: int | None, hard: int | None) -> None:
        def perform() -> None:
            super(RecordingProcess, self).setrlimit(resource, soft, hard)

        if resource != _RLIMIT_MEMLOCK or soft != hard:
            self._recorder.comment(self, f"setrlimit({resource}, {soft}, {hard})")
            perform()
            return
        limit = _NO_LIMIT if soft is None else soft
        self._record(f"memlock {_number(limit)}", perform, lambda _: ("0", ""))

    def setresuid(self, ruid: int, euid: int, suid: int) -> None:
        self._record(
            f"uid {ruid}",
            lambda: super(RecordingProcess, self).setresuid(ruid, euid, suid),
            lambda _: ("0", ""),
        )

    def status(self, key: str) -> int:
        value = super().status(key)
        self._recorder.add(self, f"status {key}", str(value))
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "fail_nth":
            self._recorder.add(self, f"fail {value}", "ok")


#: What the descriptors are that requests return.
_FILES = {
    "device": "vfio-device",
    "vm": "kvm-vm",
    "vcpu": "kvm-vcpu",
    "table": "kvm-spapr-tce",
    "link": "kvm-spapr-tce-iommu",
}


# The text of a call is made before the call, which is the one to refuse arguments of other types.


def _int(value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return 0


def _is_number(arg: int | ReadableBuffer) -> TypeGuard[int]:
    """Whether the call takes it for a number: numbers of numpy have bytes, too."""
    if isinstance(arg, int) or not hasattr(arg, "__index__"):
        return isinstance(arg, int)
    try:
        view = memoryview(arg)
    except TypeError:
        return True
    return view.ndim == 0 and view.readonly


def _descriptor(fd: AnyDescriptor) -> int:
    return fd.fd if isinstance(fd, Descriptor) else _int(fd)


def _path(path: str | bytes | PathLike[str] | PathLike[bytes]) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        return ""


def _number(value: int) -> str:
    number = _int(value)
    return str(number) if -10 < number < 10 else f"{number:#x}"


def _kind_of(error: Exception) -> str:
    """The name of Python's own exception that it is one of."""
    return next(each.__name__ for each in type(error).__mro__ if each.__module__ == "builtins")


def _refused(error: Exception) -> str | None:
    """A refusal as a transcript has it; None: the kernel returned nothing."""
    if isinstance(error, MemoryFault):
        return error.signal
    if isinstance(error, TimeoutError) or not isinstance(error, OSError) or error.errno is None:
        return None
    if error.errno == errno.EIO and getattr(error, "source", None) is None:
        return None
    return f"-{name_of(error.errno)}"


def _after(fields: list[_Field], block: bytes | bytearray) -> str:
    return " ".join(field.after(block) for field in fields)


def _read_field(data: bytes) -> str:
    return f"hex:{data.hex()}" if any(data) else f"zero:{len(data)}"


def _flags(kind: int, bits: int, pattern: str, abi: uapi.Abi) -> str:
    """Flags by their names. `kind` is a number among them that is no bit by itself."""
    names = {"O_*": ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")}
    maps = ("0", "MAP_SHARED", "MAP_PRIVATE", "MAP_SHARED_VALIDATE")
    first = {"MAP_*": maps, **names}.get(pattern, ("",) * 4)[kind]
    text = strace.flags_text(bits, pattern, abi=abi) if bits > 0 else ""
    if "/*" in text or bits < 0:
        text = f"{bits:#x}"
    return "|".join(filter(None, (first, text))) or "0"


def _choice(choice: Choice | Flags | None, value: int) -> str:
    """A constant that a request takes, by its name."""
    if choice is None:
        return ""
    text = choice.text(value, uapi.constants())
    return "" if "/*" in text else text


def _ends_with_descriptors(kind: type[ctypes.Structure], data: bytes) -> bool:
    """Whether what follows the structure is descriptors, 32 bits each."""
    if kind is uapi.vfio.vfio_irq_set:
        flags = int.from_bytes(data[4:8], "little")
        return bool(flags & uapi.vfio.VFIO_IRQ_SET_DATA_EVENTFD)
    return kind is uapi.vfio.vfio_pci_hot_reset


def _layout(kind: type[Any], base: int = 0) -> list[tuple[str, type[Any], int]]:
    """Name, type and offset of each number and array, those of structures inside included.

    Of a union it is the largest member, of an array of bytes all of it.
    """
    found: list[tuple[str, type[Any], int]] = []
    members: list[Any] = list(kind._fields_)
    if issubclass(kind, ctypes.Union):
        members = [max(members, key=lambda each: ctypes.sizeof(each[1]))]
    for name, member, *_ in members:
        offset = base + uapi.offset_of(kind, name)
        if issubclass(member, ctypes.Structure | ctypes.Union):
            found += _layout(member, offset)
        elif issubclass(member, ctypes.Array) and ctypes.sizeof(member._type_) > 1:
            size = ctypes.sizeof(member._type_)
            found += [(name, member._type_, offset + at * size) for at in range(member._length_)]
        else:
            found.append((name, member, offset))
    return found
