# SPDX-License-Identifier: MIT
"""Descriptions of machines: every key has its line, and no text at all ends in a traceback."""

from __future__ import annotations

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import command
from kvmiommu import System, machine
from kvmiommu.machine import MachineError
from kvmiommu.machine.positions import Path, lines_of

TEXTS = [(machine.loading._MACHINES / f"{name}.toml").read_text() for name in machine.names()]

ODD = """\
# a comment with [brackets] and "quotes"
top = 1   # [not a table]
"quoted key".'another = one'."t\\u00e9" = 'x = "y"'
multi = \"\"\"
[no.table]
a = 1 \\\"\"\" still in it\"\"\"\"\"
literal = '''
[[none]] ''b'' '''
dotted.a.b = [1, [2, 3], # ]
  { x = 1, y.z = [4,
    5] }, "]",
]
when = 1979-05-27 07:32:00
empty = {}

[table]
key = 'value # no comment'
[ table . sub ]
key = 0

[[list]]
a = 1
  [list.inner]
  b = 2
  [[list.items]]
  c = 3
  [[list.items]]
  c = 4
[[list]]
[[list.items]]
c = 5
"""


def paths(data: object, at: Path = ()) -> set[Path]:
    """Every place of a document."""
    items: list[tuple[str | int, object]] = []
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = list(enumerate(data))
    found = {at} if at else set()
    for key, value in items:
        found |= paths(value, (*at, key))
    return found


@pytest.mark.parametrize("text", [*TEXTS, ODD])
def test_every_place_of_a_document_has_a_line(text: str) -> None:
    assert set(lines_of(text)) == paths(tomllib.loads(text))


def test_lines_are_those_that_a_person_would_point_at() -> None:
    lines = lines_of(ODD)
    text = ODD.splitlines()
    for path, begin in {
        ("top",): "top",
        ("quoted key", "another = one", "té"): '"quoted key"',
        ("literal",): "literal",
        ("dotted", "a", "b", 1, 1): "dotted",
        ("dotted", "a", "b", 2, "y", "z", 0): "  { x",
        ("dotted", "a", "b", 2, "y", "z", 1): "    5]",
        ("dotted", "a", "b", 3): "    5]",
        ("when",): "when",
        ("table", "sub"): "[ table",
        ("list", 0, "inner", "b"): "  b",
    }.items():
        assert text[lines[path] - 1].startswith(begin), path
    assert lines[("list", 0, "items", 1, "c")] == lines[("list", 0, "items", 1)] + 1
    assert text[lines[("list", 1, "items", 0, "c")] - 1] == "c = 5"


_keys = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=5).map(
    lambda key: '"' + "".join(_escaped(c) for c in key) + '"'
)


def _escaped(character: str) -> str:
    if character in '"\\' or ord(character) < 0x20:
        return f"\\u{ord(character):04x}"
    return character


_scalars = st.sampled_from(
    ["1", "true", "1.5", '"a # b"', "'[x]'", '"""\n]\n"""', "'''{'''", "1979-05-27", '"\\""']
)


def _values(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(_keys, inner), max_size=3, unique_by=lambda pair: pair[0])
    return st.lists(inner, max_size=3).map(
        lambda items: "[ # ]\n" + ",\n".join(items) + "\n]"
    ) | pairs.map(lambda items: "{" + ", ".join(f"{k} = {v}" for k, v in items) + "}")


@given(
    st.lists(
        st.tuples(_keys, st.recursive(_scalars, _values, max_leaves=8)),
        max_size=5,
        unique_by=lambda pair: pair[0],
    ),
    st.lists(st.sampled_from(["\n", "# x = [1\n", "  \n"]), max_size=3),
)
def test_any_document_has_a_line_for_each_of_its_places(
    pairs: list[tuple[str, str]], between: list[str]
) -> None:
    body = "".join(between).join(f"{key} = {value}\n" for key, value in pairs)
    text = f"{body}[[t]]\n"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a key that is "t"
        return
    assert set(lines_of(text)) == paths(data)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A description of a machine with a few changes, of lines or of characters."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, draw(st.sampled_from(lines)))
            case 2:
                key = lines[at].split("=")[0]
                value = draw(
                    st.sampled_from(["0", "-1", "true", '""', '"4K"', "[]", "{}", "1.5", "[[1]]"])
                    | st.sampled_from(["9" * 5000, "0x1" + "0" * 5000, '"9999999T"', "[0x100000]"])
                    | st.text(max_size=4)
                )
                lines[at] = f"{key}= {value}"
            case 3:
                column = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:column] + draw(st.text(max_size=2)) + lines[at][column:]
            case _:
                column = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:column] + lines[at][column + 1 :]
        text = "\n".join(lines)
    return text


@given(mutated())
def test_a_description_can_be_run_or_every_mistake_has_its_line(text: str) -> None:
    try:
        parsed = machine.parse(text, "f")
    except MachineError as error:
        mistakes = error.mistakes
    else:
        assert machine.parse(parsed.text()) == parsed
        with System(parsed):  # the core refuses nothing that the check has let pass
            return
    assert mistakes
    for mistake in mistakes:
        assert mistake.line is not None
        assert 1 <= mistake.line <= text.count("\n") + 1
        assert mistake.found
        assert mistake.expected


@given(mutated())
def test_the_command_checks_it_or_says_what_is_wrong(text: str) -> None:
    data = text.encode(errors="replace")
    status, out, err = command(["check", "-"], data)
    assert err == ""
    assert status in (0, 1)
    if status == 1:
        lines = [line for line in out.splitlines() if line.startswith("<stdin>:")]
        assert lines
        assert all(re.match("<stdin>:[0-9]+: ", line) for line in lines)
