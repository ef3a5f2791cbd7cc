# SPDX-License-Identifier: MIT
"""The names of addresses in a transcript, against a dictionary of every address."""

from __future__ import annotations

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
    model: dict[int, tuple[str, int]] = {}
    for number, (adds, start, length) in enumerate(program):
        for address in range(start, start + length):
            model.pop(address, None)
        if adds and length:
            memory.add(start, length, f"m{number}")
            model |= dict.fromkeys(range(start, start + length), (f"m{number}", start))
        else:
            memory.remove(start, length)
    for address in range(SPACE + 10):
        # An address right behind a mapping counts as its end.
        found = model.get(address) or model.get(address - 1)
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
