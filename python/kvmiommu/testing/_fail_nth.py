# SPDX-License-Identifier: MIT
"""The marker that repeats a test, each time with another allocation failing.

The first repetition has the first allocation fail, the second one the second, and so on, until one
meets no failure. Each has fresh fixtures. The test is reported once: as the clean run when every
repetition passed, as the first repetition that failed otherwise.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pytest
from _pytest.runner import runtestprotocol  # as all plugins that run a test again have it

if TYPE_CHECKING:
    from kvmiommu import Process

__all__ = ["MARKER", "Injection", "injection_of", "run_repetitions"]

MARKER = "kvmiommu_fail_nth"
_PROCESS = "kvmiommu_process"
_MOST = 1000

_Exceptions: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...]"


@dataclass
class Injection:
    """One repetition: allocation `nth` of the calls that are under injection fails."""

    nth: int
    raises: _Exceptions
    #: Whether it has failed.
    met: bool = False
    #: What ended the test because of it.
    ended: BaseException | None = None
    _left: int = field(init=False)
    _on: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._left = self.nth

    @contextmanager
    def over(self, process: Process) -> Iterator[None]:
        """The calls of `process` within count, behind those of earlier blocks."""
        if self._on:
            raise RuntimeError("a call is under injection already: these blocks do not nest")
        self._on = True
        process.fail_nth = self._left
        try:
            yield
        finally:
            self._on = False
            self._left = process.fail_nth
            process.fail_nth = 0
            self.met = self._left == 0

    def excuses(self, error: BaseException) -> bool:
        """Whether this may end a test in which the allocation has failed."""
        return self.met and self._may_end(error)

    def _may_end(self, error: BaseException) -> bool:
        if isinstance(error, self.raises):
            return True
        if isinstance(error, BaseExceptionGroup):  # of the tasks of a group, say
            return all(map(self._may_end, error.exceptions))
        return isinstance(error, OSError) and error.errno == errno.ENOMEM

    def excuse_kept(self, item: pytest.Item) -> None:
        """Takes what ended a method of a unittest.TestCase, which raises nothing: pytest keeps it
        in the item until it makes the report."""
        kept: list[pytest.ExceptionInfo[BaseException]] | None = vars(item).get("_excinfo")
        if kept and all(self.excuses(each.value) for each in kept):
            self.ended = kept[0].value
            kept.clear()


_injection = pytest.StashKey[Injection]()


def injection_of(item: pytest.Item) -> Injection | None:
    return item.stash.get(_injection, None)


def run_repetitions(item: pytest.Item, marker: pytest.Mark, nextitem: pytest.Item | None) -> None:
    """Runs the test again and again and logs one result."""
    if (wrong := _mistake(item, marker)) is not None:
        *begin, _ = _failed(item, wrong)
        _log(item, [*begin, _end_of_earlier_tests(item, nextitem)])
        return
    raises, limit = marker.kwargs.get("raises", ()), marker.kwargs.get("limit", _MOST)
    failed: dict[int, list[pytest.TestReport]] = {}
    expected: dict[int, list[pytest.TestReport]] = {}  # to fail: xfail
    refused: list[int] = []
    reached = ""
    for nth in range(1, limit + 1):
        injection = item.stash[_injection] = Injection(nth, raises)
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        setup = reports[0]
        if any(report.failed and not _is_unexpected_pass(report) for report in reports):
            failed[nth] = reports
        elif any(report.skipped and hasattr(report, "wasxfail") for report in reports):
            expected[nth] = reports
        elif injection.ended is not None:
            refused.append(nth)
        if not setup.passed or not injection.met:
            break
    else:
        nth = limit + 1
        reached = f"none of {limit} repetitions was without a failing allocation (limit)"
    del item.stash[_injection]
    if not setup.passed and nth == 1:
        _log(item, reports)
        return
    if reached:
        reports = _failed(item, reached)
        expected.clear()
    # Of a test that is expected to fail one repetition has to; until then none has passed too soon.
    shown_of = failed or expected or {min(nth, limit): reports}
    first, shown = next(iter(shown_of.items()))
    text = _summary(nth, refused, [*failed, *expected], reached)
    for report in shown:
        report.user_properties.append((MARKER, nth - 1))
        if report.when == "call" or report.failed:
            report.sections.append((f"{MARKER}: repetition {first}", text))
    _log(item, shown)


def _is_unexpected_pass(report: pytest.TestReport) -> bool:
    """Whether it failed only because it passed: xfail(strict=True)."""
    return isinstance(report.longrepr, str) and report.longrepr.startswith("[XPASS(strict)]")


def _end_of_earlier_tests(item: pytest.Item, nextitem: pytest.Item | None) -> pytest.TestReport:
    """Ends the modules and classes that only tests before this one, which does not run, needed."""
    if item.session.shouldfail or item.session.shouldstop:
        nextitem = None
    call = pytest.CallInfo.from_call(
        lambda: item.session._setupstate.teardown_exact(nextitem), "teardown"
    )
    report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return report


def _mistake(item: pytest.Item, marker: pytest.Mark) -> str | None:
    if marker.args or marker.kwargs.keys() - {"raises", "limit"}:
        return f"@pytest.mark.{MARKER} takes raises=…, limit=…: found {marker.args} {marker.kwargs}"
    limit, raises = marker.kwargs.get("limit", _MOST), marker.kwargs.get("raises", ())
    if not isinstance(limit, int) or limit < 1:
        return f"@pytest.mark.{MARKER} takes limit=… from 1 on: found {limit!r}"
    if not all(map(_is_exception, raises if isinstance(raises, tuple) else (raises,))):
        return (
            f"@pytest.mark.{MARKER} takes raises=… an exception class or a tuple of some: "
            f"found {raises!r}"
        )
    if {_PROCESS, MARKER}.isdisjoint(getattr(item, "fixturenames", ())):
        return f"@pytest.mark.{MARKER}: the test uses neither {_PROCESS} nor {MARKER}"
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        return (
            f"@pytest.mark.{MARKER}: Hypothesis repeats this test; "
            "have it draw from kvmiommu.testing.strategies.fail_nth()"
        )
    return None


def _is_exception(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, BaseException)


def _failed(item: pytest.Item, why: str) -> list[pytest.TestReport]:
    location = item.location
    return [
        pytest.TestReport(item.nodeid, location, {}, "passed", None, "setup"),
        pytest.TestReport(item.nodeid, location, {}, "failed", why, "call"),
        pytest.TestReport(item.nodeid, location, {}, "passed", None, "teardown"),
    ]


def _summary(clean: int, refused: list[int], failed: list[int], reached: str) -> str:
    failed.sort()
    survived = [nth for nth in range(1, clean) if nth not in refused and nth not in failed]
    lines = [
        f"{text}: {', '.join(map(str, numbers))}"
        for text, numbers in (
            ("failing allocations with which the test fails", [n for n in failed if n < clean]),
            ("failing allocations that ended the test with a refusal", refused),
            ("failing allocations that the test survived", survived),
        )
        if numbers
    ]
    if reached:
        lines.append(reached)
    elif clean in failed:
        lines.append(f"repetition {clean} met no failing allocation, and failed")
    elif clean == 1:
        lines.append("no allocation could be made to fail")
    return "\n".join(lines)


def _log(item: pytest.Item, reports: list[pytest.TestReport]) -> None:
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
