"""The compiled core and the Python package name the same things and mean the same by them.

A slip in an edit of one shows here; that both are right is shown by the system's own headers, in
test_uapi_system.py.
"""

import copy
import ctypes
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from kvmiommu import _core
from kvmiommu.uapi import (
    Request,
    constant,
    constants,
    ioctl_number,
    iommufd,
    iommufd_test,
    kvm,
    kvm_2013,
    papr,
    vfio,
)

MODULES = (vfio, kvm, kvm_2013, iommufd, iommufd_test, papr)
TRANSCRIPTS = Path(__file__).parents[1] / "conformance" / "transcripts"
TRANSCRIPT_NAME = re.compile(r"\b(?:(?:VFIO|KVM|IOMMU|MOCK|H|O|PROT|MAP)_\w+|POLL[A-Z]+)")


def exported() -> Iterator[tuple[ModuleType, str, object]]:
    for module in MODULES:
        for name in module.__all__:
            yield module, name, getattr(module, name)


def fields_of(
    structure: type[ctypes.Structure] | type[ctypes.Union], prefix: str = "", base: int = 0
) -> dict[str, tuple[int, int]]:
    """Name, offset and size of every field, as names.def counts them.

    Members of anonymous unions stand for themselves. The kernel gives no name to a structure whose
    class begins with an underscore here, so its members are listed too.
    """
    found = {}
    anonymous = getattr(structure, "_anonymous_", ())
    for name, kind in structure._fields_:
        descriptor = getattr(structure, name)
        offset = base + descriptor.offset
        if name in anonymous:
            found.update(fields_of(kind, prefix, offset))
            continue
        found[prefix + name] = (offset, descriptor.size)
        if kind.__name__.startswith("_") and issubclass(kind, ctypes.Structure | ctypes.Union):
            found.update(fields_of(kind, f"{prefix}{name}.", offset))
    return found


def test_no_name_is_exported_twice():
    names = [name for _, name, _ in exported()]
    assert len(names) == len(set(names))


def test_constants_agree():
    ours = {
        name: value
        for _, name, value in exported()
        if isinstance(value, int) and not isinstance(value, Request)
    }
    assert ours == _core.uapi.constants()


def test_strings_agree():
    ours = {name: value for _, name, value in exported() if isinstance(value, str)}
    assert ours == _core.uapi.strings()


@pytest.mark.parametrize("abi", ["generic", "power"])
def test_requests_agree(abi):
    ours = {name: value.number(abi) for _, name, value in exported() if isinstance(value, Request)}
    assert ours == _core.uapi.requests(abi)


def test_structures_agree():
    ours = {
        name: (ctypes.sizeof(value), fields_of(value))
        for _, name, value in exported()
        if isinstance(value, type) and issubclass(value, ctypes.Structure)
    }
    theirs = _core.uapi.structs()
    assert ours.keys() == theirs.keys()
    for name, layout in ours.items():
        assert layout == theirs[name], name


def test_everything_exported_is_of_a_kind_that_was_compared():
    for module, name, value in exported():
        compared = isinstance(value, int | str) or (
            isinstance(value, type) and issubclass(value, ctypes.Structure)
        )
        assert compared, f"{module.__name__}.{name}"


def test_unknown_abi_is_refused_by_both():
    with pytest.raises(ValueError, match="mips"):
        _core.uapi.requests("mips")
    with pytest.raises(ValueError, match="mips"):
        constants("mips")


@pytest.mark.parametrize(
    ("name", "generic", "power"),
    [
        ("VFIO_GET_API_VERSION", 0x3B64, 0x20003B64),
        ("IOMMU_DESTROY", 0x3B80, 0x20003B80),
        ("IOMMU_TEST_CMD", 0x3BA0, 0x20003BA0),
        ("KVM_CREATE_DEVICE", 0xC00CAEE0, 0xC00CAEE0),
        ("KVM_SET_DEVICE_ATTR", 0x4018AEE1, 0x8018AEE1),
        ("KVM_CREATE_SPAPR_TCE", 0x4010AEA8, 0x8010AEA8),
        ("KVM_CREATE_SPAPR_TCE_64", 0x4020AEA8, 0x8020AEA8),
        ("KVM_CREATE_SPAPR_TCE_IOMMU", 0x4010AEAF, 0x8010AEAF),
        ("KVM_ASSIGN_PCI_DEVICE", 0x8040AE69, 0x4040AE69),
        ("KVM_SET_REGS", 0x4090AE82, 0x8188AE82),
        ("H_PUT_TCE_INDIRECT", 0x13C, 0x13C),
        ("O_RDWR", 2, 2),
        ("O_DIRECTORY", 0o200000, 0o40000),
        ("MAP_NORESERVE", 0x4000, 0x40),
    ],
)
def test_numbers_that_programs_send(name, generic, power):
    assert constant(name) == generic
    assert constant(name, abi="power") == power


def test_an_unknown_name_brings_up_what_is_alike():
    with pytest.raises(KeyError, match="VFIO_SET_IOMMU"):
        constant("VFIO_SET_IOMU")


def test_a_request_is_its_generic_number_and_survives_copying():
    request = kvm.KVM_SET_REGS
    assert request == 0x4090AE82
    for twin in (copy.copy(request), pickle.loads(pickle.dumps(request))):
        assert twin == request
        assert twin.number("power") == request.number("power")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("none", 0x100, 0), "type"),
        (("none", 0, -1), "nr"),
        (("read", 0, 0, 0x4000), "size"),
        (("read", 0, 0, 0x2000, "power"), "size"),
        (("sideways", 0, 0), "direction"),
    ],
)
def test_what_does_not_fit_into_a_number_is_refused(arguments, what):
    with pytest.raises(ValueError, match=what):
        ioctl_number(*arguments)


def test_every_name_in_the_transcripts_is_known():
    transcripts = sorted(TRANSCRIPTS.glob("*/*.uapi"))
    assert transcripts
    unknown = {}
    for path in transcripts:
        for line in path.read_text().splitlines():
            for name in TRANSCRIPT_NAME.findall(line.partition("#")[0]):
                if name not in constants("power"):
                    unknown[name] = path.name
    assert not unknown
