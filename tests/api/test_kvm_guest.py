# SPDX-License-Identifier: MIT
"""A POWER guest: its memory, its hypercalls, what leaves to user space; the tables of its buses."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from kvmiommu import MemoryFault, System, kvm
from kvmiommu.kvm import VM, Guest, Hypercall, HypercallAnswer, Kvm
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi.papr import H_FUNCTION, H_GET_TCE, H_PUT_TCE, H_SUCCESS
from recorded import recorded, result

RAM = 1 << 20
LIOBN = 0x80000001
NOBODYS = 77  # a bus without a table


@pytest.fixture
def vm() -> Iterator[VM]:
    with System("pseries") as system:
        yield Kvm(system.process()).create_vm()


@pytest.fixture
def guest(vm: VM) -> Guest:
    return Guest(vm, vm.process.mmap(RAM, 3, 0x22), RAM)


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def test_what_the_kernel_leaves_comes_to_user_space_and_goes_back(guest: Guest) -> None:
    guest.vm.create_spapr_tce(LIOBN, page_shift=16, size=16)
    guest.queue((H_PUT_TCE, LIOBN, 0, 0x3), (H_PUT_TCE, NOBODYS, 5, 6), (H_GET_TCE, LIOBN, 0))
    call = guest.run()
    assert call == Hypercall(H_PUT_TCE, (NOBODYS, 5, 6, 0, 0, 0, 0, 0, 0))
    assert repr(call).startswith("Hypercall(H_PUT_TCE, (0x4d, 0x5, 0x6, ")
    assert guest.answers() == [HypercallAnswer(H_PUT_TCE, H_SUCCESS, LIOBN)]
    guest.answer(H_FUNCTION, 42)
    assert guest.run() is None
    answers = guest.answers()
    assert answers == [(H_PUT_TCE, H_FUNCTION, 42), (H_GET_TCE, H_SUCCESS, 3)]
    assert repr(answers[0]) == "HypercallAnswer(H_PUT_TCE, r3=H_FUNCTION, r4=0x2a)"
    assert guest.figures == (0, 2, 1)


def test_one_hypercall_at_a_time(guest: Guest) -> None:
    guest.vm.create_spapr_tce(LIOBN, page_shift=16, size=16)
    assert guest.hcall(H_PUT_TCE, NOBODYS, 0, 3) is None
    assert guest.hcall(H_PUT_TCE, LIOBN, 0x10000, 0x20003) == (H_PUT_TCE, H_SUCCESS, LIOBN)
    answer = guest.hcall(H_GET_TCE, LIOBN, 0x10000)
    assert answer is not None
    assert answer.r4 == 0x20003
    assert guest.answers() == []
    guest.vcpu.immediate_exit = True
    with pytest.raises(InterruptedError):
        guest.hcall(H_GET_TCE, LIOBN, 0)
    assert guest.vcpu.immediate_exit
    guest.vcpu.immediate_exit = False
    assert guest.run() is None
    assert len(guest.answers()) == 1


def test_its_memory_is_the_processs(guest: Guest) -> None:
    guest.write(0x100, b"a list")
    assert guest.read(0x100, 6) == b"a list"
    assert guest.vm.process.peek(guest.address + 0x100, 6) == b"a list"
    guest.write(RAM - 2, b"ok")
    for call in (
        lambda: guest.read(RAM - 1, 2),
        lambda: guest.read(-1, 1),
        lambda: guest.write(RAM, b"x"),
    ):
        with pytest.raises(ValueError, match="guest address"):
            call()
    guest.vm.process.munmap(guest.address, RAM)
    with pytest.raises(MemoryFault):
        guest.read(0, 1)


def test_closing_it_closes_the_vcpu_alone(vm: VM) -> None:
    process = vm.process
    ram = process.mmap(RAM, 3, 0x22)
    before = process.mapped_bytes
    with Guest(vm, ram, RAM) as guest:
        assert process.mapped_bytes == before + process.page_size
    guest.close()  # no error
    assert process.mapped_bytes == before
    with pytest.raises(ValueError, match="closed"):
        guest.run()
    with refused(errno.EEXIST):  # the slot is still there
        vm.set_user_memory_region(1, 0, ram, RAM)
    # There is one vcpu of an id for as long as the machine lives; another may join.
    Guest(vm, ram, RAM, vcpu_id=1).close()


def test_a_guest_that_cannot_be_made_says_which_call_refused(vm: VM) -> None:
    ram = vm.process.mmap(RAM, 3, 0x22)
    with refused(errno.EINVAL):
        Guest(vm, ram + 1, RAM)
    first = Guest(vm, ram, RAM)
    with refused(errno.EINVAL):
        Guest(vm, ram, RAM, vcpu_id=0)
    assert first.run() is None


def test_a_vcpu_that_cannot_be_mapped_leaves_no_descriptor(vm: VM) -> None:
    process = vm.process
    with refused(errno.ENODEV):
        kvm.Vcpu(process, vm.fd)  # a virtual machine has no page to share
    with refused(errno.EBADF):
        vm.check_extension(k.KVM_CAP_SPAPR_TCE)


def test_capabilities_of_a_vcpu(guest: Guest) -> None:
    guest.vcpu.enable_cap(k.KVM_CAP_PPC_PAPR)
    with refused(errno.EINVAL):
        guest.vcpu.enable_cap(k.KVM_CAP_SPAPR_TCE)


def test_tables_are_made_as_in_the_transcript(vm: VM) -> None:
    def table(liobn: int, window_size: int) -> Callable[[], object]:
        return lambda: vm.create_spapr_tce(liobn, window_size=window_size)

    def table_64(liobn: int, page_shift: int, offset: int, size: int) -> Callable[[], object]:
        return lambda: vm.create_spapr_tce(liobn, page_shift=page_shift, offset=offset, size=size)

    calls = [
        table(0x80000000, 0x10000000),
        table(0x80000000, 0x10000000),
        table_64(0x80000000, 12, 0, 0x10000),
        table(0x80000001, 0),
        table(0x80000001, 4095),
        table(0x80000001, 4096),
        table(0x80000002, 6000),
        table_64(0x80000010, 12, 0, 0x10000),
        table_64(0x80000011, 11, 0, 0x10000),
        table_64(0x80000011, 34, 0, 0x10),
        table_64(0x80000012, 35, 0, 0x10),
    ]
    results = recorded(
        "pseries/spapr-tce-create.uapi", "KVM_CREATE_SPAPR_TCE", "KVM_CREATE_SPAPR_TCE_64"
    )
    assert [result(call, "ok") for call in calls] == results[: len(calls)]


def test_the_old_request_makes_a_table_of_4_kib_pages_at_0(guest: Guest) -> None:
    table = guest.vm.create_spapr_tce(LIOBN, window_size=6000)
    assert (table.page_shift, table.offset, table.size) == (12, 0, 1)
    assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x5003) == (H_PUT_TCE, H_SUCCESS, LIOBN)
    assert table.entries() == (0x5003,)
    assert repr(table).startswith("<TceTable of bus 0x80000001: 0x1 pages of 2^12 bytes")
    for sizes in ({}, {"size": 1, "window_size": 4096}):
        with pytest.raises(TypeError, match="window_size or size"):
            guest.vm.create_spapr_tce(LIOBN, **sizes)
