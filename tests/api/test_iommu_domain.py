# SPDX-License-Identifier: MIT
"""Page tables without a machine: the objects of `kvmiommu.iommu`."""

from __future__ import annotations

import array
import errno
import itertools
import threading

import pytest

from kvmiommu import iommu

FORMATS = list(iommu.formats())
K, M, G = 1 << 10, 1 << 20, 1 << 30


def smallest(domain: iommu.Domain) -> int:
    return domain.pgsize_bitmap & -domain.pgsize_bitmap


@pytest.fixture(params=FORMATS)
def domain(request: pytest.FixtureRequest) -> iommu.Domain:
    return iommu.Domain(request.param)


def numbers(*values: int) -> array.array[int]:
    return array.array("Q", values)


# --- making one ---


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_every_width_that_it_says(name: str) -> None:
    found = iommu.formats()[name]
    assert found.default_bits in found.widths
    for bits in found.widths:
        table = iommu.Domain(name, bits=bits)
        page = smallest(table)
        first, last = table.aperture
        top = last - page + 1
        table.map(top, 64 * page, page)
        assert table.iova_to_phys(last) == 65 * page - 1
        if first:
            table.map(first, 128 * page, page)
            assert table.iova_to_phys(first) == 128 * page
            assert table.iova_to_phys(first - 1) == 0
    with pytest.raises(OSError, match="no tables for") as refused:
        iommu.Domain(name, bits=min(found.widths) - 1)
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"format": "sparc"}, "must be one of amdv1, x86_64"),
        ({"format": "vtdss", "partial_unmap": "half"}, "must be one of whole, whole_from_start"),
        ({"format": "vtdss", "overlap": "EBUSY"}, "must be one of EEXIST, EADDRINUSE"),
        ({"format": "vtdss", "pgsize_bitmap": 0}, "can map nothing"),
        ({"format": "vtdss", "bits": 65}, "bits 65: must be from 1 to 64"),
        ({"format": "tce", "levels": 0}, "levels 0: must be from 1 to 64"),
    ],
    ids=str,
)
def test_strange_arguments(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        iommu.Domain(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ({"format": "vtdss", "pgsize_bitmap": 8 * K}, errno.EINVAL),
        ({"format": "tce", "pgsize_bitmap": 4 * K | 64 * K}, errno.EINVAL),
        ({"format": "tce", "levels": 6}, errno.EINVAL),
        ({"format": "vtdss", "levels": 4}, errno.EINVAL),
        ({"format": "riscv64", "dirty": True}, errno.EOPNOTSUPP),
        ({"format": "vtdss", "partial_unmap": "split"}, errno.EOPNOTSUPP),
        ({"format": "armv7s", "memory": iommu.Memory(start=4 * G)}, errno.ENOMEM),
        ({"format": "armv8-s1-64k", "memory": iommu.Memory(fragment=4 * K)}, errno.ENOMEM),
    ],
    ids=str,
)
def test_what_a_format_has_not(arguments: dict[str, object], number: int) -> None:
    with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno is looked at
        iommu.Domain(**arguments)  # type: ignore[arg-type]
    assert refused.value.errno == number
    memory = arguments.get("memory")
    assert not isinstance(memory, iommu.Memory) or memory.used == 0


@pytest.mark.parametrize("size", [0, 4096, 64 * G, -1, 1 << 64])
def test_memory_of_strange_sizes(size: int) -> None:
    with pytest.raises((OSError, OverflowError)):
        iommu.Memory(size)


def test_memory_starts_where_it_is_told() -> None:
    memory = iommu.Memory(64 * M, start=5 * G)
    table = iommu.Domain("vtdss", memory=memory)
    root = table.walk(0)[0].table
    assert 5 * G <= root < 5 * G + 64 * M
    assert memory.size == 64 * M
    assert memory.read(root, 16) == bytes(16)
    table.map(0, G, 4 * K)
    assert memory.read(root, 8) == table.walk(0)[0].entry.to_bytes(8, "little")
    for address, size in ((0, 1), (5 * G + 64 * M - 1, 2), (5 * G, 2 * M), (5 * G - 1, 1)):
        with pytest.raises(OSError, match="are not RAM"):
            memory.read(address, size)
    assert memory.used == table.table_bytes == 4 * 4096
    del table
    assert memory.used == 0


def test_page_sizes_are_written_as_people_say_them() -> None:
    assert iommu.pages("4K", "2M", 1 << 30) == 0x40201000
    assert iommu.pages("512G") == 1 << 39
    assert iommu.pages() == 0
    for wrong in ("4k", "", "K", "3K", "4 K", "1.5M", 0, -4096, 3, 1 << 64):
        with pytest.raises(ValueError, match="page"):
            iommu.pages(wrong)


# --- ranges ---


def test_ranges_are_split_into_the_pages_that_fit() -> None:
    table = iommu.Domain("vtdss")
    table.map(0x1FF000, 0x1FF000, 0x402000)
    sizes = [table.walk(iova)[-1].page_size for iova in (0x1FF000, 0x200000, 0x400000, 0x600000)]
    assert sizes == [4 * K, 2 * M, 2 * M, 4 * K]
    table.map(0x40001000, 0x80002000, 4 * M)
    assert table.walk(0x40200000)[-1].page_size == 4 * K
    assert table.unmap(0x1FF000, 0x402000) == 0x402000
    assert table.iova_to_phys(0x200000) == 0


def test_a_map_is_refused_as_a_whole(domain: iommu.Domain) -> None:
    page = smallest(domain)
    start = domain.aperture[0]
    domain.map(start + 5 * page, 8 * page, page)
    before = domain.table_bytes
    with pytest.raises(FileExistsError):
        domain.map(start + 2 * page, 0x100 * page, 4 * page)
    with pytest.raises(OSError, match="multiple"):
        domain.map(start + page // 2, 0, page)
    with pytest.raises(OSError, match="neither readable nor writable"):
        domain.map(start + page, 16 * page, page, 0)
    with pytest.raises(OSError, match="bits"):
        domain.map(start, 1 << domain.format.output_bits, page)
    domain.map(start, 0, 0)
    found = [domain.iova_to_phys(start + at * page) for at in range(8)]
    assert found == [0, 0, 0, 0, 0, 8 * page, 0, 0]
    assert domain.table_bytes == before
    assert domain.unmap(start + 5 * page, page) == page


@pytest.mark.parametrize("arguments", [(-1, 0, 4096), (0, 1 << 64, 4096), (0, 0, 1 << 64)])
def test_numbers_beyond_64_bits(arguments: tuple[int, int, int]) -> None:
    table = iommu.Domain("amdv1")
    with pytest.raises(OverflowError, match="must be from 0x0 to 0xffffffffffffffff"):
        table.map(*arguments)
    assert table.table_bytes == 4096


def test_the_overlap_policy() -> None:
    table = iommu.Domain("x86_64", overlap="EADDRINUSE")
    table.map(0, G, 2 * M)
    with pytest.raises(OSError, match="mapped already") as refused:
        table.map(4 * K, G, 4 * K)
    assert refused.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("policy", "answer", "left"),
    [("whole", 2 * M, []), ("whole_from_start", 0, [0, 1, 511]), ("refuse", 0, [0, 1, 511]),
     ("split", 4 * K, [0, 511])],
)  # fmt: skip
def test_the_policy_for_a_part_of_a_page(
    policy: iommu.PartialUnmap, answer: int, left: list[int]
) -> None:
    table = iommu.Domain("armv8-s1", partial_unmap=policy)
    table.map(0, G, 2 * M)
    assert table.unmap(4 * K, 4 * K) == answer
    assert [at for at in (0, 1, 511) if table.iova_to_phys(at * 4 * K)] == left


def test_pieces_are_mapped_one_behind_the_other(domain: iommu.Domain) -> None:
    page = smallest(domain)
    start = domain.aperture[0]
    pieces = [(64 * page, page), (65 * page, 2 * page), (32 * page, page)]
    assert domain.map_sg(start, pieces) == 4 * page
    found = [domain.iova_to_phys(start + at * page) // page for at in range(5)]
    assert found == [64, 65, 66, 32, 0]
    domain.map(start + 8 * page, 128 * page, page)
    with pytest.raises(FileExistsError):
        domain.map_sg(start + 7 * page, [(256 * page, page), (512 * page, page)])
    assert domain.iova_to_phys(start + 7 * page) == 0
    assert domain.map_sg(start, []) == 0


def test_both_halves_of_the_processors_addresses() -> None:
    table = iommu.Domain("x86_64-signed")
    high = (1 << 64) - (1 << 47)
    for iova in (0, (1 << 47) - 4 * K, high, (1 << 64) - 4 * K):
        table.map(iova, G, 4 * K)
        assert table.iova_to_phys(iova + 5) == G + 5
    for iova in (1 << 47, high - 4 * K):
        with pytest.raises(OSError, match="beyond"):
            table.map(iova, G, 4 * K)
        assert table.walk(iova) == []
        assert table.iova_to_phys(iova) == 0


# --- many at once ---


def test_a_batch_maps_all_or_none(domain: iommu.Domain) -> None:
    page = smallest(domain)
    start = domain.aperture[0]
    iovas = numbers(*(start + 2 * at * page for at in range(100)))
    phys = numbers(*((1000 - 3 * at) * page for at in range(100)))
    domain.map_batch(iovas, phys, page)
    assert list(memoryview(domain.iova_to_phys_batch(iovas))) == list(phys)
    assert domain.unmap_batch(iovas, page) == 100 * page
    assert list(memoryview(domain.iova_to_phys_batch(iovas))) == [0] * 100
    domain.map(iovas[57], 7 * page, page)
    with pytest.raises(FileExistsError) as refused:
        domain.map_batch(iovas, phys, page)
    assert refused.value.index == 57  # type: ignore[attr-defined]
    found = memoryview(domain.iova_to_phys_batch(iovas))
    assert [at for at in range(100) if found[at]] == [57]


def test_arrays_of_every_kind() -> None:
    numpy = pytest.importorskip("numpy")
    table = iommu.Domain("amdv1", pgsize_bitmap=4 * K)
    iovas = numpy.arange(0, 10 * 4096, 4096, dtype=numpy.uint64)
    table.map_batch(iovas, iovas + numpy.uint64(G), 4 * K)
    out = numpy.zeros(10, dtype=numpy.uint64)
    assert table.iova_to_phys_batch(iovas, out) is out
    assert (out == iovas + numpy.uint64(G)).all()
    # A memoryview need not be aligned.
    crooked = memoryview(bytearray(b"x" + iovas.tobytes()))[1:].cast("Q")
    assert table.unmap_batch(crooked, 4 * K) == 10 * 4 * K
    with pytest.raises(TypeError, match="in one piece"):
        table.map_batch(iovas[::2], iovas[::2], 4 * K)
    with pytest.raises(TypeError, match="unsigned 64-bit"):
        table.map_batch(iovas.astype(numpy.int64), iovas, 4 * K)
    with pytest.raises(TypeError, match="2 dimensions"):
        table.map_batch(iovas.reshape(2, 5), iovas, 4 * K)


def test_arrays_that_do_not_fit() -> None:
    table = iommu.Domain("amdv1")
    with pytest.raises(ValueError, match="phys has 1 numbers, iovas 2"):
        table.map_batch(numbers(0, 4096), numbers(G), 4 * K)
    with pytest.raises(ValueError, match="out has 1 numbers, iovas 2"):
        table.iova_to_phys_batch(numbers(0, 4096), numbers(0))
    with pytest.raises(TypeError, match=r"iovas: .*this list"):
        table.map_batch([0], numbers(G), 4 * K)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'phys: .* of "q"'):
        table.map_batch(numbers(0), array.array("q", [G]), 4 * K)
    with pytest.raises(TypeError, match="out: a writeable buffer"):
        table.iova_to_phys_batch(numbers(0), bytes(8))
    table.map_batch(numbers(), numbers(), 4 * K)
    assert table.unmap_batch(numbers(), 4 * K) == 0
    assert table.table_bytes == 4096


# --- what is there ---


def test_a_walk_shows_what_the_hardware_meets(domain: iommu.Domain) -> None:
    page = smallest(domain)
    iova = domain.aperture[0] + 3 * page
    domain.map(iova, 77 * page, page, iommu.READ)
    steps = domain.walk(iova + 5)
    assert [step.level for step in steps] == list(reversed(range(len(steps))))
    assert [step.kind for step in steps] == ["table"] * (len(steps) - 1) + ["page"]
    for above, below in itertools.pairwise(steps):
        assert above.address == below.table
    last = steps[-1]
    assert (last.address, last.page_size, last.prot) == (77 * page, page, iommu.READ)
    assert domain.translate(iova + 5) == (77 * page + 5, iommu.READ)
    assert str(last).endswith(f"page of {page:#x} at {77 * page:#x} r-")
    assert domain.walk(iova + page)[-1].kind == "nothing"
    assert str(domain.walk(iova + page)[-1]).endswith("nothing")
    assert domain.translate(iova + page) is None


def test_written_pages_are_found() -> None:
    table = iommu.Domain("vtdss", dirty=True)
    table.map(0x100000, G + 4 * K, 64 * K)
    with pytest.raises(OSError, match="nothing is tracked"):
        table.read_dirty(0, M)
    table.set_dirty_tracking(True)
    table.note_write(0x103123)
    table.note_write(0x10F000)
    assert table.read_dirty(0x100000, 64 * K, clear=False) == [0x103000, 0x10F000]
    assert table.read_dirty(0x100000, 0xF000) == [0x103000]
    assert table.read_dirty(0x100000, 64 * K, page_size=32 * K) == [0x108000]
    assert table.read_dirty(0x100000, 64 * K) == []
    for size, unit in ((0, 4096), (4096, 0), (4096, 3), (1 << 64, 4096), (1 << 60, 4096)):
        with pytest.raises(ValueError, match=r"."):
            table.read_dirty(0x1000, size, page_size=unit)
    plain = iommu.Domain("vtdss")
    with pytest.raises(OSError, match="does not mark"):
        plain.set_dirty_tracking(True)


# --- failures and threads ---


@pytest.mark.parametrize("name", FORMATS)
def test_an_allocation_that_fails_leaves_nothing(name: str) -> None:
    probe = iommu.Domain(name)
    page = smallest(probe)
    iova = probe.aperture[1] - 5 * page + 1
    for nth in range(1, 50):
        table = iommu.Domain(name)
        table.map(table.aperture[0], 64 * page, page)
        table.fail_nth(nth)
        answer = 0
        try:
            table.map(iova, 128 * page, 4 * page)
        except OSError as refused:
            answer = refused.errno or 0
        if answer == 0:
            break
        assert answer == errno.ENOMEM
        assert table.iova_to_phys(iova) == 0
        assert table.iova_to_phys(table.aperture[0]) == 64 * page
        assert table.memory.used == table.table_bytes
    else:
        pytest.fail("there is always another allocation")
    assert nth > 1 or name == "tce"


def test_threads_at_work_in_one_table() -> None:
    table = iommu.Domain("armv8-s1", pgsize_bitmap=4 * K)
    wrong: list[object] = []

    def work(self: int) -> None:
        iovas = numbers(*(((at * 4 + self) << 12) for at in range(2000)))
        phys = numbers(*(((at * 7 + self + 1) << 12) for at in range(2000)))
        for _ in range(10):
            table.map_batch(iovas, phys, 4 * K)
            if list(memoryview(table.iova_to_phys_batch(iovas))) != list(phys):
                wrong.append(self)
            if table.unmap_batch(iovas, 4 * K) != 2000 * 4 * K:
                wrong.append(self)

    def disturb() -> None:
        # The same range as everybody's, in one call: it waits for the others, and they for it.
        for _ in range(50):
            table.unmap(1 << 40, 2 * M)
            try:
                table.map(1 << 40, G, 2 * M)
            except FileExistsError:
                wrong.append("left")

    threads = [threading.Thread(target=work, args=(self,)) for self in range(3)]
    threads.append(threading.Thread(target=disturb))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert table.unmap(1 << 40, 2 * M) == 2 * M
