"""Prints, when the vectors were there, a table of what became of each family: read, refused with the reason, failed."""

from __future__ import annotations

from collections import Counter

import pytest

OUTCOMES: dict[str, list[tuple[str, str, str]]] = {}
"""Family to name, how, why; filled by the tests."""
_FAILED: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts the failures of each family."""
    if report.failed and "test_read_or_refused_with_a_reason[" in report.nodeid:
        _FAILED[report.nodeid.partition("[")[2].partition("/")[0]] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, with the number of each reason."""
    if not OUTCOMES and not _FAILED:
        return
    terminalreporter.section("CMS objects of others")
    terminalreporter.write_line(f"{'family':12} {'read':>5} {'refused':>8} {'failed':>7}")
    for family in sorted({*OUTCOMES, *_FAILED}):
        found = OUTCOMES.get(family, [])
        counts = Counter(how for _, how, _ in found)
        line = f"{family:12} {counts['read']:5} {counts['refused']:8} {_FAILED[family]:7}"
        terminalreporter.write_line(line)
        for reason, number in Counter(why for _, how, why in found if how == "refused").most_common():
            terminalreporter.write_line(f"{'':12} {number:14} refused, {reason}")
