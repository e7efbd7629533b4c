"""The table of targets: name, what is done with the octets, where to start, which files of the vectors to add.

See also
    ``child.py``, which runs one; ``run.py``, which runs all.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz import ber_target, cms_target, mail_targets, message_target, peel_target, pki_targets, scene
from tests.fuzz.oracle import LONGEST
from tests.fuzz.scene import Scene

VECTORS: Final = Path(
    os.environ.get("LETTERLOCK_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors"
)
CORPUS: Final = Path(__file__).parent / "corpus"
_MOST_VECTORS: Final = 150
_PEM: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----([A-Za-z0-9+/=\s]+)-----END")


class Target(NamedTuple):
    """``make``: from the scene and its own seeds, what is called for each input. ``structured``: its octets are BER, and
    may be changed as such. ``vectors``: patterns below the vectors' folder; ``modules``: what is to be reached."""

    make: Callable[[Scene, list[bytes]], Callable[[bytes], None]]
    seeds: Callable[[Scene], list[bytes]]
    vectors: tuple[str, ...]
    modules: tuple[str, ...]
    structured: bool = True


def _ber(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    return ber_target.run


def _message(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    message_target.prepare()
    return message_target.run


_CMS_VECTORS: Final = ("rfc4134/*.bin", "openssl/80-test_cms_data/*", "openssl/cms-msg/*", "gnupg-cms/*.cms.asc",
                       "pqc-cms/**/*.der", "bc-pqc-cms/**/*.pem", "cms-kyber/**/*.der")  # fmt: skip
_MAIL_VECTORS: Final = ("mime4j/**/*.msg", "cpython-email/**/*.txt", "protected-headers/**/*.eml", "rfc4134/*.eml")

TARGETS: Final = {
    "ber": Target(_ber, scene.objects, _CMS_VECTORS, ("asn1/ber.py", "asn1/oid.py")),
    "cms": Target(
        cms_target.target,
        cms_target.seeds,
        _CMS_VECTORS,
        (
            *("smime/cms_read.py", "smime/recipients.py", "smime/describe.py", "smime/decrypt.py", "smime/verify.py"),
            *("smime/attributes.py", "smime/content_keys.py", "smime/decompress.py", "smime/rsa_parameters.py"),
            *("smime/signatures.py", "smime/algorithms.py"),
        ),
    ),
    "message": Target(
        _message,
        message_target.seeds,
        _MAIL_VECTORS,
        (
            *("mail/parse.py", "mail/decoded.py", "mail/message.py", "mail/headers.py", "mail/address.py"),
            *("smime/canonical.py", "smime/entity_sink.py", "smime/mime.py", "decision/message.py"),
        ),
        structured=False,
    ),
    "peel": Target(
        peel_target.target,
        peel_target.seeds,
        _MAIL_VECTORS[2:],
        ("smime/peel.py", "smime/judge.py", "smime/header_protection.py", "smime/mime.py", "smime/entity_sink.py"),
        structured=False,
    ),
    "smtp": Target(
        mail_targets.conversation,
        mail_targets.conversation_seeds,
        (),
        ("smtp/server.py", "smtp/verbs.py", "smtp/data.py", "smtp/syntax.py", "smtp/answers.py"),
        structured=False,
    ),
    "report": Target(
        mail_targets.report,
        mail_targets.report_seeds,
        ("mime4j/**/*.msg",),
        ("mail/dsn.py", "flow/reduce.py", "notify/report.py", "mail/compose.py"),
        structured=False,
    ),
    "certificate": Target(
        pki_targets.certificates,
        pki_targets.certificate_seeds,
        ("pkits/**/*.crt", "libksba/**/*.crt", "openssl/certs/*.pem", "rfc4134/*.cer"),
        (
            "pki/certificate.py",
            "pki/path.py",
            "pki/fitness.py",
            "pki/conformity.py",
            "pki/url.py",
            "pki/policy_tree.py",
        ),
    ),
    "crl": Target(
        pki_targets.lists, pki_targets.list_seeds, ("pkits/**/*.crl", "rfc4134/*.crl"), ("pki/crl.py", "pki/fetched.py")
    ),
    "ocsp": Target(
        pki_targets.answers, pki_targets.answer_seeds, ("openssl/ocsp-tests/*.ors",), ("pki/ocsp.py", "pki/fetched.py")
    ),
    "bundle": Target(
        pki_targets.files,
        pki_targets.file_seeds,
        ("openssl/80-test_pkcs12_data/*", "gnupg-cms/*.pem", "libksba/**/*.p12"),
        ("pki/bundle.py", "pki/lattice_key.py", "pki/fetched.py"),
    ),
}


def own(name: str, stage: Scene, folder: Path) -> list[bytes]:
    """The target's own seeds, made once for a folder: with others, what was found could not be shown again."""
    kept = folder / f"{name}.seeds"
    if not kept.is_dir():
        kept.mkdir()
        for number, octets in enumerate(TARGETS[name].seeds(stage)):
            (kept / f"{number:02}").write_bytes(octets)
    return [each.read_bytes() for each in sorted(kept.iterdir())]


def start(name: str, seeds: list[bytes]) -> list[bytes]:
    """All inputs that a target starts with: its own, the small corpus, the vectors where there are any."""
    target = TARGETS[name]
    found = [*seeds, *(each.read_bytes() for each in sorted((CORPUS / name).glob("*")))]
    if VECTORS.is_dir():
        paths = [each for pattern in target.vectors for each in sorted(VECTORS.glob(pattern)) if each.is_file()]
        step = max(1, len(paths) // _MOST_VECTORS)
        for path in paths[::step]:
            octets = path.read_bytes()
            found += [octets, *(_unarmoured(octets) if target.structured else [])]
    return [each for each in dict.fromkeys(found) if 0 < len(each) <= LONGEST]


def _unarmoured(octets: bytes) -> list[bytes]:
    found = []
    for each in _PEM.finditer(octets):
        try:
            found.append(base64.b64decode(each[1]))
        except binascii.Error:
            continue
    return found
