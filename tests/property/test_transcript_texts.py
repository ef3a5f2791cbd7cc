# SPDX-License-Identifier: MIT
"""Transcripts that were changed at random: an error with its place, or a run to the end."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

import kvmiommu
from commands import command
from kvmiommu.transcript import (
    TranscriptError,
    check_answers,
    check_constants,
    parse_bytes,
    replay,
    rewritten,
    symbols_of,
)

TEXT = """\
# title: what is done with a group
open c /dev/vfio/vfio O_RDWR
  = ok
open g /dev/vfio/1 O_RDWR
  = ok
ioctl g VFIO_GROUP_SET_CONTAINER fd:c
  = 0
  > fd:c
ioctl c VFIO_SET_IOMMU val:VFIO_TYPE1v2_IOMMU
  = 0
mem buf 0x10000 shared
  = ok
fill buf+8 u64:0x1234 str:abc zero:4
  = ok
ioctl c VFIO_IOMMU_MAP_DMA u32:32 u32:3 ptr:buf u64:0 u64:0x1000 bind at 16
  = 0
  > u32:32 u32:3 ptr:buf u64:at u64:0x1000
ioctl c VFIO_IOMMU_UNMAP_DMA u32:24 u32:0 u64:$at u64:0x1000
  = 0
  > u32:24 u32:0 u64:0 u64:0x1000
peek buf+8 9 u64:0x1234 u8:0 bind letter 8
  = ok
  > u64:0x1234 u8:letter
peek buf 16
  = ok
  > hex:00000000000000003412000000000000
ioctl g VFIO_GROUP_GET_DEVICE_FD str:0000:00:02.0 -> d
  = ok
  > hex:303030303a30303a30322e3000
eventfd e
  = ok
write e u64:1
  = 8
read e 8 u32:0 u32:0 bind high 4
  = 8
  > u32:0x1 u32:high
status VmLck
  = 0
close d
  = 0
memfd f 0x2000
  = ok
mmap m f 0x1000 PROT_READ|PROT_WRITE MAP_SHARED 0
  = ok
poke m u8:1 u16:2
  = ok
unmem m 0x1000
  = 0
"""
WORDS = re.findall(r"\S+", TEXT)
GENERIC = symbols_of("generic")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The transcript with a few changes, of lines, words or bytes."""
    data = TEXT.encode()
    for _ in range(draw(st.integers(1, 4))):
        lines = data.split(b"\n")
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, draw(st.sampled_from(lines)))
        elif kind == 2:
            words = lines[at].split(b" ")
            word = draw(st.integers(0, len(words) - 1))
            words[word] = draw(st.sampled_from(WORDS)).encode()
            lines[at] = b" ".join(words)
        elif kind == 3:
            column = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:column] + draw(st.binary(max_size=2)) + lines[at][column:]
        elif kind == 4:
            column = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:column] + lines[at][column + 1 :]
        else:
            lines[at] = re.sub(
                rb"\b(0x)?[0-9]+\b",
                draw(st.sampled_from([b"0", b"-1", b"0xffffffffffffffff", b"9" * 5000, b"4096"])),
                lines[at],
                count=1,
            )
        data = b"\n".join(lines)
    return data


def has_a_place(error: TranscriptError, data: bytes) -> bool:
    assert 1 <= error.line <= data.count(b"\n") + 1
    line = data.split(b"\n")[error.line - 1]
    assert 1 <= error.column <= len(line.decode(errors="replace")) + 1
    return str(error).startswith(f"f:{error.line}:{error.column}: ")


@given(mutated())
def test_a_transcript_is_right_or_its_mistake_has_a_place(data: bytes) -> None:
    try:
        transcript = parse_bytes(data, "f")
        check_constants(transcript, GENERIC)
        check_answers(transcript)
    except TranscriptError as error:
        assert has_a_place(error, data)  # noqa: PT017
        return
    assert transcript.steps
    for place in (*transcript.constants.values(), *transcript.undefined.values()):
        assert 1 <= place.line <= data.count(b"\n") + 1


@given(mutated())
@settings(max_examples=50)
def test_a_transcript_is_played_to_its_end_and_again_without_a_difference(data: bytes) -> None:
    outcomes = []
    try:
        transcript = parse_bytes(data, "f", answers=False)
        replay(
            transcript,
            kvmiommu.System,
            GENERIC,
            observe=lambda *outcome: outcomes.append(outcome),
        )
    except TranscriptError as error:
        assert has_a_place(error, data)  # noqa: PT017
        return
    assert len(outcomes) == len(transcript.steps)
    text = rewritten(data.decode(), outcomes)
    if all(outcome.lines for _, outcome in outcomes):
        assert not replay(parse_bytes(text.encode(), "f"), kvmiommu.System, GENERIC).differences


@given(mutated())
@settings(max_examples=50)
def test_the_command_plays_it_or_says_what_is_wrong(data: bytes) -> None:
    status, out, err = command(["replay", "--machine", "q35-intel", "-"], data)
    if status == 2:
        assert out == ""
        assert all(line.startswith("kvmiommu: <stdin>:") for line in err.splitlines())
    else:
        assert status == (0 if ", 0 differences, " in out else 1)
