"""The content columns that a received message, a delivery and a notice share, as the arrays the database takes.

See also
    ``vault/content.py``: SealedContent has exactly these attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol
from uuid import UUID


class ContentColumns(Protocol):
    """Sealed content as the vault hands it over."""

    @property
    def id(self) -> UUID: ...
    @property
    def session(self) -> UUID: ...
    @property
    def day(self) -> date: ...
    @property
    def wrapped_key(self) -> bytes: ...
    @property
    def commitment(self) -> bytes: ...
    @property
    def envelope(self) -> bytes: ...
    @property
    def manifest(self) -> bytes: ...
    @property
    def size(self) -> int: ...
    @property
    def segments(self) -> int: ...
    @property
    def body(self) -> bytes: ...


_PLURALS = {
    "ids": "id",
    "sessions": "session",
    "days": "day",
    "wrapped_keys": "wrapped_key",
    "commitments": "commitment",
    "envelopes": "envelope",
    "manifests": "manifest",
    "sizes": "size",
    "segments": "segments",
    "bodies": "body",
}


def columns(contents: Sequence[ContentColumns]) -> dict[str, list[Any]]:
    """One array a column, in the names of the database functions' arguments."""
    return {plural: [getattr(content, name) for content in contents] for plural, name in _PLURALS.items()}
