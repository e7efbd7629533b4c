"""CMS objects of other people, with the keys and contents that belong to them, read by what we have.

Order
    cases(family) lists them; read(case) says what came of one: an Outcome, "read" or "refused" with the reason.

Guarantees
    "read" means the content was decrypted, or every signer whose content is at hand verified; nothing less. Whatever
    else is raised than an error of ours goes through.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from asn1crypto import cms as oracle
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from letterlock.asn1 import ber, oid
from letterlock.asn1.ber import BerError
from letterlock.mail.message import Buffer, Message
from letterlock.pki.lattice_key import seed_form
from letterlock.smime.algorithms import digest_of
from letterlock.smime.attributes import check_attributes
from letterlock.smime.cms_read import open_cms, read_signed, read_signers
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.describe import ToldRecipient, describe
from letterlock.smime.errors import NoCertificate, NotForUs, SmimeError, Unsupported
from letterlock.smime.party import load_party
from letterlock.smime.peel import peel
from letterlock.smime.recipients import Transported
from letterlock.smime.signatures import check_signature
from letterlock.smime.spool import MemorySpool
from letterlock.smime.unkeyed import read_data, read_digested, read_encrypted
from letterlock.smime.verify import Examined, examine_detached, examine_opaque
from tests.fakes.authority import Identity
from tests.fakes.own_keys import Keys
from tests.fakes.people import person

FOLDER = Path(os.environ.get("LETTERLOCK_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
PEM = re.compile(rb"-----BEGIN([^\n]*)-----\r?\n(?:.*?\n\r?\n)?(.*?)-----END", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One object. ``content``: what a detached signature signs; ``keys``: by certificate, to decrypt with; ``secret``:
    the content key, where there is no recipient; ``password``: of a recipient with one; ``bare``: a private key whose
    certificate the library does not load."""

    family: str
    name: str
    octets: bytes
    content: bytes | None = None
    keys: tuple[Identity, ...] = ()
    known: tuple[bytes, ...] = ()
    secret: bytes = b""
    password: str = ""
    bare: rsa.RSAPrivateKey | None = None


@dataclass(frozen=True)
class Outcome:
    """``how``: read or refused; ``why``: what was read, or the reason; ``content``: what came out."""

    how: str
    why: str
    content: bytes = field(default=b"", repr=False)


def read(case: Case) -> Outcome:
    """What we make of it."""
    try:
        return _read(case)
    except NotForUs:
        told = describe(lambda: (case.octets,))
        return Outcome("refused", f"no key for {', '.join(dict.fromkeys(map(_in_words, told.recipients))) or 'nobody'}")
    except SmimeError as fault:
        return Outcome("refused", f"{fault.verdict}: {fault.detail}".rstrip(": "))
    except BerError as fault:
        return Outcome("refused", f"malformed: {fault.detail}")


def _in_words(recipient: ToldRecipient) -> str:
    return f"{recipient.kind} {recipient.algorithm}".strip()


def _read(case: Case) -> Outcome:
    octets = case.octets
    if re.match(rb"[A-Za-z-]+:", octets):
        return _message(case)

    def source() -> Iterator[bytes]:
        return (octets[at : at + 999] for at in range(0, len(octets), 999))

    kind = open_cms(ber.Reader(source()))
    spool = MemorySpool()
    if kind == oid.SIGNED_DATA:
        return _signed(case, source)
    if kind == oid.DATA:
        read_data(source, spool)
    elif kind == oid.DIGESTED_DATA:
        read_digested(source, spool)
    elif kind == oid.ENCRYPTED_DATA:
        read_encrypted(source, case.secret, spool)
    else:
        enveloped = Enveloped(source)
        if case.bare:
            (info,) = enveloped.envelope.recipients
            assert isinstance(info, Transported)
            enveloped.open_content([case.bare.decrypt(info.encrypted_key, PKCS1v15())], spool)
        elif case.secret:
            enveloped.open_content([case.secret], spool)
        elif case.password:
            asyncio.run(enveloped.open_with_password(case.password, spool))
        else:
            asyncio.run(enveloped.open(Keys(*case.keys), spool))
        return Outcome("read", enveloped.envelope.cipher.name, spool.octets())
    return Outcome("read", oid.dotted(kind), spool.octets())


def _message(case: Case) -> Outcome:
    peeled = asyncio.run(peel(Message(case.octets), Keys(*case.keys), known=case.known))
    if not peeled.layers:
        return Outcome("refused", "no S/MIME")
    for layer in peeled.layers:
        if not layer.opened:
            return Outcome("refused", f"{layer.verdict}: {layer.detail}".rstrip(": "))
        if bad := [each for each in layer.outcomes if each.verdict not in ("ok", "weak")]:
            return Outcome("refused", bad[0].verdict)
    return Outcome("read", " in ".join(each.kind for each in reversed(peeled.layers)), peeled.bare().octets)


def _signed(case: Case, source: Callable[[], Iterator[bytes]]) -> Outcome:
    spool = MemorySpool()
    if case.content is not None and case.bare is None:
        examined = examine_detached(source(), case.content, case.known)
    else:
        examined = examine_opaque(source(), spool.write, case.known)
        if examined.outcomes and (case.bare or not spool.octets()):
            return _by_hand(case, source, case.content or spool.octets())
    if not examined.outcomes:
        return Outcome("read", f"{len(examined.certificates)} certificates")
    return _verdict(examined, bytes(spool.octets()))


def _verdict(examined: Examined, content: bytes) -> Outcome:
    for each in examined.outcomes:
        if each.signer is None and not (
            isinstance(each.fault, Unsupported | NoCertificate) and any(other.signer for other in examined.outcomes)
        ):
            assert each.fault is not None
            return Outcome("refused", f"{each.fault.verdict}: {each.fault.detail}".rstrip(": "))
    names = [f"{each.signer.algorithm}{' weak' * bool(each.signer.weak)}" for each in examined.outcomes if each.signer]
    return Outcome("read", ", ".join(names), content)


def _by_hand(case: Case, source: Callable[[], Iterator[bytes]], content: Buffer) -> Outcome:
    """By the attributes and the signature alone: where the certificate cannot be loaded, or the content is not at hand;
    then whatever digest stands in the attributes is taken for its own."""
    reader = ber.Reader(source())
    header = read_signed(reader, open_cms(reader))
    if reader.more(header.ends[1]):
        reader.skip()
    reader.leave(header.ends[1])
    found = read_signers(reader, header)
    stand_in = load_party(person("alice").der)
    for info in found.signers:
        brought = [] if case.bare else [load_party(each) for each in found.certificates]
        theirs = [each for each in brought if info.signer.names(each.certificate)]
        key = case.bare.public_key() if case.bare else theirs[0].verifying
        digest = digest_of(info.digest)
        assert info.attributes is not None
        told = info.attributes[oid.MESSAGE_DIGEST][0].octets()
        its = hashlib.new(digest.name, content).digest() if content else told
        check_attributes(info, info.attributes, [its], (theirs[0] if theirs else stand_in).certificate)
        check_signature(key, info.algorithm, digest, info.signed, info.signature, prehashed=False)
    why = "by its key" if content else "attributes only: the content is not among the vectors"
    return Outcome("read", why, bytes(content))


# ---- what belongs together


def unarmoured(octets: bytes) -> bytes:
    """DER or BER, from PEM or as it is."""
    found = PEM.search(octets)
    return binascii.a2b_base64(found[2]) if found else octets


def identity(certificate: bytes, key: object) -> Identity:
    """A certificate (DER) with its key."""
    return Identity(x509.load_der_x509_certificate(certificate), key)  # type: ignore[arg-type]  # any private key


FAMILIES = ("rfc4134", "openssl", "gnupg-cms", "libksba", "pqc-cms", "bc-pqc-cms", "cms-kyber")


@cache
def cases(family: str) -> Sequence[Case]:
    """All of a family, none when it is not there."""
    if not (FOLDER / family).is_dir():
        return ()
    return tuple(_LISTS[family]())


def _rfc4134() -> Iterator[Case]:
    here = FOLDER / "rfc4134"
    pairs = [
        ("BobRSASignByCarl.cer", "BobPrivRSAEncrypt.pri"),
        ("DianeRSASignByCarl.cer", "DianePrivRSASignEncrypt.pri"),
    ]
    keys = tuple(
        identity((here / name).read_bytes(), load_der_private_key((here / key).read_bytes(), None))
        for name, key in pairs
    )
    known = tuple(path.read_bytes() for path in sorted(here.glob("*.cer")))
    content = (here / "ExContent.bin").read_bytes()
    # RFC 4134 7.1: the key of its two EncryptedData
    secret = bytes.fromhex("737c791f25ead0e04629254352f7dc6291e5cb26917ada32")
    for path in sorted(here.glob("[3-7].*.*")):
        octets = path.read_bytes()
        encrypted = path.name.startswith("7.")
        yield Case(
            "rfc4134", path.name, octets, content if path.name == "4.3.bin" else None, keys, known, secret * encrypted
        )


def _openssl() -> Iterator[Case]:
    here = FOLDER / "openssl"
    people = [
        identity(unarmoured(octets[octets.index(b"-----BEGIN CERT") :]), load_pem_private_key(octets, None))
        for name in ("smrsa1", "smrsa2", "smrsa3", "smec1", "smec3")  # smec2 is of another curve
        if (octets := (here / "smime-certs" / f"{name}.pem").read_bytes())
    ]
    for folder in ("80-test_cms_data", "cms-msg", "smime-eml"):
        for path in sorted((here / folder).iterdir()):
            if path.suffix in (".cms", ".eml", ".der") or (
                path.suffix == ".pem" and b"CERT" not in path.read_bytes()[:60]
            ):
                if "key" in path.name:
                    continue
                octets = path.read_bytes()
                if path.suffix != ".eml":
                    octets = unarmoured(octets)
                secret = _shared_key(octets) if "authenveloped" in path.name else b""
                yield Case("openssl", f"{folder}/{path.name}", octets, keys=tuple(people), secret=secret)


def _shared_key(octets: bytes) -> bytes:
    """The content key under the key encryption key of OpenSSL's tests, 00 01 .. 0f (80-test_cms.t)."""
    (info,) = oracle.ContentInfo.load(octets)["content"]["recipient_infos"]
    return aes_key_unwrap(bytes(range(16)), info.chosen["encrypted_key"].native)


def _gnupg() -> Iterator[Case]:
    here = FOLDER / "gnupg-cms"
    key = _gnupg_key()
    text = (here / "text-1.txt").read_bytes()
    for path in sorted([*here.glob("plain-*.asc"), *here.glob("text-*.pem")]):
        content = text if "dsig" in path.name else None
        yield Case("gnupg-cms", path.name, unarmoured(path.read_bytes()), content, bare=key)
    for path in sorted((here / "samplemsgs").glob("*.p7m")):
        yield Case("gnupg-cms", f"samplemsgs/{path.name}", path.read_bytes(), password="abc")
    damaged = here / "samplemsgs" / "webde-buenemann-signed.cms"
    yield Case("gnupg-cms", "samplemsgs/webde-buenemann-signed.cms", damaged.read_bytes())


def _gnupg_key() -> rsa.RSAPrivateKey:
    """The private key of "test cert 1", an expression of gpg-agent."""
    text = (FOLDER / "gnupg-cms" / "32100C27173EF6E9C4E9A25D3D69F86D37A4F939").read_text("latin-1")
    found = {
        each[1]: int(re.sub(r"\s", "", each[2]), 16) for each in re.finditer(r"\(([nedpq]) #([0-9A-Fa-f\s]+)#\)", text)
    }
    numbers = {name: found[name] for name in "nedpq"}
    p, q, d = numbers["p"], numbers["q"], numbers["d"]
    public = rsa.RSAPublicNumbers(numbers["e"], numbers["n"])
    private = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return private.private_key(unsafe_skip_rsa_key_validation=True)


def _libksba() -> Iterator[Case]:
    for path in sorted((FOLDER / "libksba" / "samples").iterdir()):
        if path.suffix in (".p7m", ".p7s", ".cms"):
            yield Case("libksba", path.name, path.read_bytes())


def _pqc() -> Iterator[Case]:
    with zipfile.ZipFile(FOLDER / "pqc-cms" / "bc" / "artifacts_cms_v3.zip") as archive:
        members = {Path(each).name: archive.read(each) for each in archive.namelist() if each.endswith(".der")}
    for name, octets in sorted(members.items()):
        if "_kemri" in name:
            yield Case("pqc-cms", name, octets, keys=_pqc_keys(members, name.partition("_kemri")[0]))
        elif "_signed_attrs" in name:
            yield Case("pqc-cms", name, octets)


def _pqc_keys(members: dict[str, bytes], stem: str) -> tuple[Identity, ...]:
    try:
        return (
            identity(members[f"{stem}_ee.der"], load_der_private_key(seed_form(members[f"{stem}_priv.der"]), None)),
        )
    except Exception:
        return ()  # a kind that the library does not know


def _bc() -> Iterator[Case]:
    here = FOLDER / "bc-pqc-cms"
    for path in sorted((here / "cms").rglob("*.pem")):
        name = path.stem.removeprefix("SignedData_")
        certificates = [
            binascii.a2b_base64(each[2])
            for each in PEM.finditer((here / "cert" / "mldsa" / f"{name}.pem").read_bytes())
            if b"CERT" in each[1]
        ]
        yield Case("bc-pqc-cms", path.name, unarmoured(path.read_bytes()), known=tuple(certificates))


def _kyber() -> Iterator[Case]:
    here = FOLDER / "cms-kyber"
    octets = unarmoured((here / "ML-KEM-512.cms").read_bytes())
    cek = (here / "cek.txt").read_bytes()
    yield Case("cms-kyber", "ML-KEM-512.cms", octets)
    yield Case(
        "cms-kyber",
        "ML-KEM-512.cms, by its content key",
        octets,
        secret=bytes.fromhex(re.sub(r"[^0-9A-Fa-f]", "", cek.decode())),
    )


_LISTS: dict[str, Callable[[], Iterator[Case]]] = {
    "rfc4134": _rfc4134,
    "openssl": _openssl,
    "gnupg-cms": _gnupg,
    "libksba": _libksba,
    "pqc-cms": _pqc,
    "bc-pqc-cms": _bc,
    "cms-kyber": _kyber,
}
