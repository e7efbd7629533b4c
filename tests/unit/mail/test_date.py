"""The Date field as mail programs of all times wrote it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from letterlock.mail import compose
from letterlock.mail.date import read

NOON = datetime(2026, 11, 22, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 22 Nov 2026 12:00:05 +0000",
        b"22 Nov 2026 13:00:05 +0100",
        b"Sun, 22 Nov 2026 12:00:05 -0000",
        b" Sun,  22 nov 2026 07:00:05 EST (somewhere)",
        b"Sun, 22 Nov 26 12:00:05 GMT",
        b"Sun, 22 Nov 2026 12:00:05 Z",
        b"Sun (a comment), 22 Nov 2026 12:00:05 UT",
    ],
)
def test_read(value: bytes) -> None:
    assert read(value) == NOON


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"yesterday",
        b"Sun, 31 Feb 2026 12:00:00 +0000",
        b"Sun, 22 Nov 2026 25:00:00 +0000",
        b"Sun, 22 Nov 2026 12:00:00 +9999",
        b"Sun, 22 Xxx 2026 12:00:00 +0000",
        b"Sun, 22 Nov 2026 12:00:00",
        b"Sun, 22 Nov 99999 12:00:00 +0000",
        b"Thu, 01 Jan 1950 00:00:00 +0000",
        b"\xff" * 10_000,
        b"(" * 100_000,
    ],
)
def test_none(value: bytes) -> None:
    assert read(value) is None


def test_what_we_write_is_read() -> None:
    now = int(time.time())
    assert read(compose.date(now).encode()) == datetime.fromtimestamp(now, UTC)
