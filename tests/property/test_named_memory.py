# SPDX-License-Identifier: MIT
"""The names of addresses in a transcript, against a dictionary of every address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu._named_memory import NamedMemory

SPACE = 24
steps = st.lists(
    st.tuples(st.booleans(), st.integers(0, SPACE - 1), st.integers(0, 8)), max_size=12
)


@given(steps)
def test_an_address_is_the_name_of_its_mapping_and_a_distance(
    program: list[tuple[bool, int, int]],
) -> None:
    memory = NamedMemory()
    mapped: dict[int, tuple[str, int]] = {}
    unmapped: dict[int, tuple[str, int]] = {}
    for number, (adds, start, length) in enumerate(program):
        for address in range(start, start + length):
            if (gone := mapped.pop(address, None)) is not None:
                unmapped[address] = gone
            if adds:
                unmapped.pop(address, None)
        if adds and length:
            memory.add(start, length, f"m{number}")
            mapped |= dict.fromkeys(range(start, start + length), (f"m{number}", start))
        else:
            with memory.removing(start, length):
                pass
    for address in range(SPACE + 10):
        # An address right behind a mapping counts as its end.
        behind = address - 1
        found = (
            mapped.get(address)
            or mapped.get(behind)
            or unmapped.get(address)
            or unmapped.get(behind)
        )
        expected = None
        if found is not None:
            name, base = found
            expected = f"{name}+{address - base:#x}" if address != base else name
        assert memory.symbol(address) == expected
    words = b"".join(address.to_bytes(8, "little") for address in range(SPACE + 10))
    assert memory.symbols(words + b"rest") == [
        (8 * address, address, symbol)
        for address in range(SPACE + 10)
        if (symbol := memory.symbol(address)) is not None
    ]


@given(steps, st.integers(0, SPACE), st.integers(0, 8))
def test_an_unmap_that_is_refused_changes_no_name(
    program: list[tuple[bool, int, int]], start: int, length: int
) -> None:
    memory = NamedMemory()
    for number, (adds, at, size) in enumerate(program):
        if adds and size:
            memory.add(at, size, f"m{number}")
    before = [memory.symbol(address) for address in range(SPACE + 10)]
    with pytest.raises(OSError, match="refused"), memory.removing(start, length):
        raise OSError("refused")
    assert [memory.symbol(address) for address in range(SPACE + 10)] == before
