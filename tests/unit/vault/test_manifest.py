"""The manifest: read back, checked, and only of our version."""

from __future__ import annotations

import msgspec
import pytest

from letterlock.vault import manifest as manifests
from letterlock.vault.errors import ContentRefused
from letterlock.vault.manifest import Manifest, PartEntry, whole

FINGERPRINT = b"f" * 32


def test_read_back() -> None:
    manifest = Manifest(1, FINGERPRINT, 30, (PartEntry("a.pdf", 10, 0, b"d" * 32), PartEntry("", 20, 1)))
    assert manifests.decode(manifest.encode()) == manifest
    assert whole(FINGERPRINT, 5, 0) == Manifest(1, FINGERPRINT, 5, (PartEntry("", 5, 0, b""),))


@pytest.mark.req("I10")
def test_check() -> None:
    manifest = whole(FINGERPRINT, 5, 0)
    manifest.check(5, FINGERPRINT)
    for size, fingerprint in ((4, FINGERPRINT), (6, FINGERPRINT), (5, b"g" * 32), (5, b"")):
        with pytest.raises(ContentRefused):
            manifest.check(size, fingerprint)


@pytest.mark.parametrize(
    "octets", [b"", b"\xc1", msgspec.msgpack.encode([1, b"f"]), msgspec.msgpack.encode([2, FINGERPRINT, 5, []])]
)
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(ContentRefused):
        manifests.decode(octets)
