# SPDX-License-Identifier: MIT
"""The parser of transcripts: every call, every form of a number, every complaint."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from kvmiommu.transcript import check_answers, syntax
from kvmiommu.transcript.syntax import Constant, Integer, Number, TranscriptError, Variable

CONFORMANCE = Path(__file__).parents[1] / "conformance" / "transcripts"


def one(call: str, answer: str = "  = ok") -> syntax.Call:
    """The call of a transcript of one line."""
    (step,) = syntax.parse(f"{call}\n{answer}\n").steps
    assert step.text == call
    return step.call


def literal(text: str) -> Number:
    return Number(text, ((Integer(int(text, 0)),),))


def constant(name: str) -> Number:
    return Number(name, ((Constant(name),),))


def variable(text: str) -> Number:
    return Number(text, ((Variable(text.removeprefix("$")),),))


def u32(text: str) -> syntax.Token:
    return syntax.Token("u32", text, number=literal(text))


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("mem buf 0x1000", syntax.Mem("buf", literal("0x1000"))),
        (
            "mem b 4096 huge shared ro",
            syntax.Mem("b", literal("4096"), shared=True, readonly=True, huge=True),
        ),
        ("unmem buf 8", syntax.Unmem(variable("buf"), literal("8"))),
        ("fill buf u32:1", syntax.Fill(variable("buf"), (u32("1"),))),
        ("poke buf u32:1 u32:2", syntax.Poke(variable("buf"), (u32("1"), u32("2")))),
        ("peek buf 8", syntax.Peek(variable("buf"), literal("8"))),
        (
            "peek buf 8 u32:1 bind a 0 bind b 4",
            syntax.Peek(
                variable("buf"),
                literal("8"),
                syntax.Shape(
                    (u32("1"),), (syntax.Bind("a", literal("0")), syntax.Bind("b", literal("4")))
                ),
            ),
        ),
        ("open c /dev/vfio/vfio O_RDWR", syntax.Open("c", "/dev/vfio/vfio", constant("O_RDWR"))),
        ("close c", syntax.Close(variable("c"))),
        ("dup d c", syntax.Dup("d", variable("c"))),
        ("eventfd e", syntax.Eventfd("e")),
        ("memfd m 8", syntax.Memfd("m", literal("8"))),
        (
            "memfd m 8 sealable huge",
            syntax.Memfd("m", literal("8"), huge=True, sealable=True),
        ),
        ("seal m F_SEAL_WRITE", syntax.Seal(variable("m"), constant("F_SEAL_WRITE"))),
        (
            "mmap p c 1 2 3 4",
            syntax.Mmap("p", variable("c"), *(literal(n) for n in "1234")),
        ),
        ("read c 8", syntax.Read(variable("c"), literal("8"))),
        (
            "read c 8 u32:1",
            syntax.Read(variable("c"), literal("8"), syntax.Shape((u32("1"),))),
        ),
        ("write c", syntax.Write(variable("c"), ())),
        ("pread c 8 16", syntax.Pread(variable("c"), literal("8"), literal("16"))),
        ("write c u32:1", syntax.Write(variable("c"), (u32("1"),))),
        ("pwrite c 16 u32:1", syntax.Pwrite(variable("c"), literal("16"), (u32("1"),))),
        ("poll e POLLIN", syntax.Poll(variable("e"), constant("POLLIN"))),
        ("memlock 65536", syntax.Memlock(literal("65536"))),
        ("uid 1000", syntax.Uid(literal("1000"))),
        ("status VmLck", syntax.Status("VmLck")),
        ("guest k vm ram", syntax.Guest(variable("k"), variable("vm"), "ram")),
        ("child close c", syntax.Child(syntax.Close(variable("c")))),
        ("hcall H_GET_TCE 1 2", syntax.Hcall(constant("H_GET_TCE"), (literal("1"), literal("2")))),
    ],
)
def test_a_call_parses_to_its_dataclass(line: str, call: syntax.Call) -> None:
    assert one(line) == call


@pytest.mark.parametrize(
    ("line", "argument", "result", "binds"),
    [
        ("ioctl c REQ", None, None, ()),
        ("ioctl c REQ null", None, None, ()),
        ("ioctl c REQ val:3 -> d", literal("3"), "d", ()),
        ("ioctl c REQ -> d", None, "d", ()),
        ("ioctl c REQ u32:1 u32:2", syntax.Block((u32("1"), u32("2"))), None, ()),
        (
            "ioctl c REQ u32:1 bind a 0 bind b 4 -> d",
            syntax.Block((u32("1"),)),
            "d",
            (syntax.Bind("a", literal("0")), syntax.Bind("b", literal("4"))),
        ),
    ],
)
def test_an_ioctl_takes_nothing_a_value_or_a_block(
    line: str,
    argument: syntax.Block | Number | None,
    result: str | None,
    binds: tuple[syntax.Bind, ...],
) -> None:
    assert one(line) == syntax.Ioctl(variable("c"), constant("REQ"), argument, result, binds)


@pytest.mark.parametrize(
    ("text", "sums"),
    [
        ("0", ((Integer(0),),)),
        ("017", ((Integer(0o17),),)),
        ("-1", ((Integer(2**64 - 1),),)),
        ("0xffffffffffffffff", ((Integer(2**64 - 1),),)),
        ("$ioas", ((Variable("ioas"),),)),
        ("buf+0x10", ((Variable("buf"), Integer(16)),)),
        ("A|buf+1|2", ((Constant("A"),), (Variable("buf"), Integer(1)), (Integer(2),))),
    ],
)
def test_numbers(text: str, sums: tuple[tuple[syntax.Atom, ...], ...]) -> None:
    call = one(f"memlock {text}")
    assert isinstance(call, syntax.Memlock)
    assert call.limit == Number(text, sums)


def test_tokens_hold_their_bytes() -> None:
    call = one("fill b str:0000:00:02.0 hex:00fF zero:4 ptr:b+1 fd:c")
    assert isinstance(call, syntax.Fill)
    text, digits, zero, pointer, descriptor = call.tokens
    assert text.data == b"0000:00:02.0\0"
    assert digits.data == b"\x00\xff"
    assert zero.number == literal("4")
    assert [str(pointer), str(descriptor)] == ["ptr:b+1", "fd:c"]


def test_title_comments_answers_and_lines() -> None:
    transcript = syntax.parse(
        "# title: what it is about\n\n"
        "open c /dev/kvm O_RDWR # a comment\n  = ok\n"
        "# another\n"
        "ioctl c REQ u32:1 u64:O_RDWR\n  = -EINVAL\n  > u32:1 u64:0x2\n",
        "a.uapi",
    )
    assert transcript.title == "what it is about"
    assert [step.line for step in transcript.steps] == [3, 6]
    first, second = transcript.steps
    assert first.answer == syntax.Answer(4, "ok")
    assert second.answer == syntax.Answer(7, "-EINVAL", ("u32:1", "u64:0x2"))
    assert second.answer.lines == ("  = -EINVAL", "  > u32:1 u64:0x2")
    assert second.file == "a.uapi"
    assert transcript.constants == {"O_RDWR": (3, 17), "REQ": (6, 9)}


@pytest.mark.parametrize(
    "result", ["0", "-4", "0 0x3003", "ok", "exit", "SIGBUS", "SIGSEGV", "-E2BIG", "-E524"]
)
def test_results(result: str) -> None:
    (step,) = syntax.parse(f"close c\n  = {result}\n").steps
    assert step.answer.lines == (f"  = {result}",)


@pytest.mark.parametrize(
    ("text", "line", "found", "expected"),
    [
        ("opne c /dev/kvm 0", 1, "the unknown call 'opne'", "'open'?"),
        (
            "zzz",
            1,
            "the unknown call 'zzz'",
            "one of answers, child, close, dup, eventfd, fail, fill, guest,",
        ),
        ("mem buf", 1, "'mem buf' ends where SIZE should be", "'mem NAME SIZE [shared] [ro]"),
        ("mem buf 1 private", 1, "'private' after the size", "'mem NAME SIZE [shared] [ro]"),
        ("close c d", 1, "'d' after the end of the call", "'close NAME'"),
        ("eventfd Big", 1, "'Big' as a name", "a lower-case letter first"),
        ("memlock 0x", 1, "'0x'", "a number: 12, 0x1f, CONSTANT"),
        ("memlock 089", 1, "'089'", "a number: 12"),
        ("memlock 1||2", 1, "'' in '1||2'", "a number: 12"),
        ("memlock 1+2+3", 1, "'1+2+3'", "a sum of two numbers at most"),
        ("memlock 0x10000000000000000", 1, "the number 0x1000", "at most 64 bits"),
        ("fill b u32", 1, "'u32' where a field of the block", "TYPE:VALUE with TYPE one of u8,"),
        ("fill b u24:1", 1, "the type 'u24' in 'u24:1'", "TYPE:VALUE with TYPE one of u8,"),
        ("fill b hex:abc", 1, "'hex:abc'", "pairs of hexadecimal digits"),
        ("fill b", 1, "'fill b' ends where TOKEN should be", "'fill ADDRESS TOKEN…'"),
        ("ioctl c R u32:1 null", 1, "'null' where a field", "TYPE:VALUE"),
        ("ioctl c R val:1 u32:1", 1, "'u32:1' after the argument", "'ioctl FD REQUEST"),
        ("ioctl c R -> a -> b", 1, "a second '->'", "'ioctl FD REQUEST"),
        ("ioctl c R val:1 bind a 0", 1, "'bind' for a call without an argument block", "'ioctl"),
        ("memfd m 1 small", 1, "'small' after the size", "'memfd NAME SIZE [huge] [sealable]'"),
        ("read c 8 bind a 0", 1, "'bind' where a field of the block", "TYPE:VALUE"),
        ("read c 8 u32:1 bind a", 1, "'read c 8 u32:1 bind a' ends where OFFSET", "'read FD"),
        ("read c 8 u32:1 bind a 0 u32:1", 1, "'u32:1' where 'bind' should be", "'read FD LENGTH"),
        ("child", 1, "'child' ends where CALL should be", "'child CALL…'"),
        ("child clsoe c", 1, "the unknown call 'clsoe'", "'close'?"),
        ("status VmRSS", 1, "'VmRSS' as a line of /proc/self/status", "'status VmLck|VmPin'"),
        ("hcall 1 2 3 4 5 6 7", 1, "a sixth argument", "at most five"),
        ("close c", 1, "the call 'close c' without an answer", "'  = ' and a number, -ENAME"),
        ("close c\n\n  = 0", 1, "the call 'close c' without an answer", "'  = '"),
        ("  = 0", 1, "an answer", "the call it belongs to in the line before"),
        ("close c\n  = 0\n  = 0", 3, "an answer", "the call it belongs to"),
        ("close c\n  > u32:0", 2, "a block after the call", "a line '  = RESULT' before it"),
        ("close c\n  = nothing", 2, "the result 'nothing'", "'  = ' and a number, -ENAME"),
        ("close c\n  = 0\n  > u32", 3, "'u32' in an answer", "TYPE:VALUE with TYPE one of"),
        ("close c\n  = 0\n = 0", 3, "' = 0'", "two spaces"),
    ],
)
def test_what_does_not_parse_is_an_error_with_its_place(
    text: str, line: int, found: str, expected: str
) -> None:
    with pytest.raises(TranscriptError) as caught:
        syntax.parse(text, "bad.uapi")
    error = caught.value
    assert (error.file, error.line) == ("bad.uapi", line)
    assert error.found.startswith(found)
    assert expected in error.expected
    place = f"bad.uapi:{line}:{error.column}"
    assert str(error) == f"{place}: {error.found}; expected {error.expected}"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.column) == (str(error), error.column)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("opne c", 1),
        ("  opne c", 3),
        ("mem  buf  1 private", 13),
        ("mem buf", 8),
        ("mem buf  # 1", 10),
        ("close c  d", 10),
        ("memlock 1|x_|:", 9),
        ("ioctl c REQ u32:1 u24:0", 19),
        ("ioctl c REQ u32:1 bind Big 0", 24),
        ("close c\n  = nothing", 5),
        ("close c\n  = -EEXISTS", 6),
        ("close c\n  = 0\n  > u32:1 u32:1z5", 11),
        ("close c\n  = 0\n  > u32:1  u32:1", 11),
    ],
)
def test_a_mistake_is_at_the_column_of_its_word(text: str, column: int) -> None:
    with pytest.raises(TranscriptError) as caught:
        syntax.parse(text, "bad.uapi")
    assert caught.value.column == column


@pytest.mark.parametrize("text", ["", "\n\n", "# title: nothing\n", "# a comment"])
def test_a_file_without_a_call_is_an_error(text: str) -> None:
    with pytest.raises(TranscriptError, match=r"^bad.uapi:1:1: no call; expected a call, such as"):
        syntax.parse(text, "bad.uapi")


@pytest.mark.parametrize(
    ("written", "means"),
    [("-EINVAL", "-EINVAL"), ("-E22", "-EINVAL"), ("-ESRCH", "-E3"), ("-E52", "-E52")],
)
def test_an_errno_is_the_same_by_name_and_by_number(written: str, means: str) -> None:
    assert syntax.parse(f"close c\n  = {written}\n").steps[0].answer.result == means


@pytest.mark.parametrize(
    ("written", "meant"),
    [("-EEXISTS", "'EEXIST'?"), ("-EINVALID", "'EINVAL'?"), ("-E4096", "the name"), ("-E0", "the")],
)
def test_an_unknown_errno_is_an_error(written: str, meant: str) -> None:
    with pytest.raises(TranscriptError, match=f"the unknown errno '{written[1:]}'") as caught:
        syntax.parse(f"close c\n  = {written}\n")
    assert caught.value.expected.startswith(meant)


def test_names_that_nothing_defines_are_known_with_their_places() -> None:
    transcript = syntax.parse(
        "open c /dev/kvm O_RDWR\n  = ok\n"
        "ioctl c REQ u32:$bound ptr:buf+4 -> new bind bound 0\n  = ok\n  > u32:0 ptr:buf\n"
        "close new\n  = 0\n"
        "close later\n  = -EBADF\n"
        "guest c new ram\n  = ok\n"
        "close buf\n  = 0\n"
        "eventfd later\n  = ok\n"
    )
    assert transcript.undefined == {"buf": (3, 24), "ram": (10, 13)}
    assert transcript.defined() == {"c", "new", "bound", "later"}


def test_a_call_needs_no_answer_where_none_is_asked_for() -> None:
    transcript = syntax.parse("close a\nclose b\n  = 0\n", answers=False)
    assert [step.answer.result for step in transcript.steps] == ["", "0"]


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("open c /dev/kvm 0\n  = 0", (2, 5), "the result '0'"),
        ("close c\n  = ok", (2, 5), "the result 'ok'"),
        ("peek b 4\n  = 4", (2, 5), "the result '4'"),
        ("ioctl c R -> d\n  = 3", (2, 5), "the result '3'"),
        ("ioctl c R u32:1 u32:2\n  = 0", (2, 5), "no block below"),
        ("ioctl c R u32:1 u32:2\n  = 0\n  > u32:1", (3, 5), "a block of 1 fields"),
        ("ioctl c R\n  = 0\n  > u32:1", (3, 5), "a block of 1 fields"),
        ("ioctl c R u32:1 u32:2\n  = 0\n  > u32:1 u64:2", (3, 11), "'u64:2'"),
        ("ioctl c R str:a\n  = 0\n  > u32:1", (3, 5), "'u32:1'"),
        ("read c 8\n  = 8", (2, 5), "no block below"),
        ("read c 8 u32:1 u32:2\n  = 8\n  > u32:1", (3, 5), "a block of 1 fields"),
        ("read c 8 u32:1 u32:2\n  = 4\n  > u32:1 u32:2", (3, 5), "a block of 2 fields"),
        ("read c 8 u32:1\n  = 4\n  > u64:1", (3, 5), "'u64:1'"),
        ("peek b 4 u32:1\n  = ok", (2, 5), "no block below"),
        ("child close c\n  = ok", (2, 5), "the result 'ok'"),
    ],
)
def test_an_answer_that_the_call_cannot_have_is_found(
    text: str, place: tuple[int, int], found: str
) -> None:
    with pytest.raises(TranscriptError) as caught:
        check_answers(syntax.parse(text, "bad.uapi"))
    assert (caught.value.line, caught.value.column) == place
    assert caught.value.found == found


def test_what_was_read_has_the_fields_that_lie_within_it() -> None:
    check_answers(
        syntax.parse(
            "read c 12 u32:1 u64:2 u32:3\n  = 12\n  > u32:1 u64:2\n"
            "read c 12 u32:1 u64:2\n  = 0\n"
            "read c 12 u32:1\n  = 2\n  >\n"
            "peek b 8 zero:4 u32:1 u32:2\n  = ok\n  > zero:4 u32:1\n"
            "peek b 8 zero:4\n  = SIGSEGV\n"
        )
    )


def test_names_bound_by_a_read_are_defined_and_those_of_a_child_are_not() -> None:
    transcript = syntax.parse(
        "read c 4 u32:0 bind a 0\n  = 4\n  > u32:a\n"
        "peek 0 4 u32:0 bind b 0\n  = SIGSEGV\n"
        "child eventfd e\n  = ok\n"
        "close e\n  = -EBADF\n"
    )
    assert transcript.defined() == {"a", "b"}
    assert set(transcript.undefined) == {"c", "e"}


def test_a_file_that_is_no_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.uapi"
    path.write_bytes(b"close c\n  = 0\n\xff")
    with pytest.raises(TranscriptError, match=r"a\.uapi:3:1: the byte 0xff; expected text"):
        syntax.parse_file(path)


def test_every_transcript_of_the_project_parses_without_loss() -> None:
    files = sorted(CONFORMANCE.rglob("*.uapi"))
    assert files, f"no transcripts in {CONFORMANCE}"
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        transcript = syntax.parse_file(file)
        parsed = {}
        for step in transcript.steps:
            for at, text in enumerate((step.text, *step.answer.lines)):
                parsed[step.line + at] = text
        written = {at: line.rstrip() for at, line in enumerate(lines, 1) if line and line[0] != "#"}
        assert parsed == written, file
        assert transcript.title, file
