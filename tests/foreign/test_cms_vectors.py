"""CMS objects that nobody here made, malformed ones among them, are read or refused: no other exception, no long wait."""

from __future__ import annotations

import asyncio
import binascii
import os
import re
import time
from pathlib import Path

import pytest

from letterlock.mail.message import Message
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.errors import SmimeError
from letterlock.smime.peel import peel
from letterlock.smime.verify import Examined, examine_opaque
from tests.fakes.own_keys import Keys

FOLDER = Path(os.environ.get("LETTERLOCK_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
FOLDERS = ("openssl/80-test_cms_data", "openssl/cms-msg", "openssl/smime-eml", "gnupg-cms", "libksba/samples", "rfc4134",
           "protected-headers", "pqc-cms", "bc-pqc-cms/cms", "cms-kyber")  # fmt: skip
FILES = [path for name in FOLDERS for path in sorted((FOLDER / name).rglob("*")) if path.is_file()]
PEM = re.compile(rb"-----BEGIN[^\n]*-----\r?\n(?:.*?\n\r?\n)?(.*?)-----END", re.DOTALL)


def _cms(name: str) -> bytes:
    octets = (FOLDER / name).read_bytes()
    found = PEM.search(octets)
    return binascii.a2b_base64(found[1]) if found else octets


def _examined(octets: bytes) -> Examined:
    return examine_opaque((octets,), len)


def _verdicts(octets: bytes) -> list[str]:
    try:
        return [each.verdict for each in _examined(octets).outcomes]
    except SmimeError as fault:
        return [fault.verdict]


if FILES:

    @pytest.mark.req("B8")
    @pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
    def test_read_or_refused(path: Path) -> None:
        octets = path.read_bytes()
        started = time.process_time()
        for each in {octets, _cms(str(path))}:
            assert _verdicts(each) is not None
            try:
                assert Enveloped(lambda each=each: (each,)).envelope.cipher.name
            except SmimeError as fault:
                assert fault.verdict in ("malformed", "unsupported")
        found = asyncio.run(peel(Message(octets), Keys()))
        assert all(layer.kind in ("signed", "compressed") or not layer.opened for layer in found.layers)
        assert time.process_time() - started < 2

    @pytest.mark.req("B1")
    @pytest.mark.parametrize(
        ("name", "verdicts"),
        [
            ("openssl/80-test_cms_data/bad_signtime_attr.cms", ["malformed"]),  # signing time among unsigned attributes
            ("openssl/80-test_cms_data/ct_multiple_attr.cms", ["malformed"]),
            ("openssl/80-test_cms_data/no_ct_attr.cms", ["malformed"]),
            ("openssl/80-test_cms_data/no_md_attr.cms", ["malformed"]),
            ("openssl/80-test_cms_data/pkcs7-md4.pem", ["unsupported"]),
            ("rfc4134/4.2.bin", ["weak"]),  # RSA of 1024 bits with SHA-1
            ("rfc4134/4.11.bin", []),  # certificates only
        ],
    )
    def test_known_verdicts(name: str, verdicts: list[str]) -> None:
        assert _verdicts(_cms(name)) == verdicts

    @pytest.mark.req("B1")
    @pytest.mark.parametrize("name", ["smime-multipart-signed.eml", "smime-onepart-signed.eml"])
    def test_signed_messages_of_others(name: str) -> None:
        (layer,) = asyncio.run(peel(Message((FOLDER / "protected-headers" / name).read_bytes()), Keys())).layers
        assert [each.verdict for each in layer.outcomes] == ["ok"]
