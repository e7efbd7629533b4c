"""Certificates that name somebody else in a way that some reader takes for Alice: never is their signature hers.

See also
    Müller and others, "Johnny, you are fired!" (USENIX Security 2019), class ID; Marlinspike, "Null prefix attacks against
    SSL/TLS certificates" (2009); RFC 8550 3, RFC 5280 4.2.1.6 and 4.2.1.10, RFC 9598 (SmtpUTF8Mailbox); docs/attacks.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

from letterlock.asn1 import der
from letterlock.pki.certificate import parse
from letterlock.pki.errors import MalformedCertificate
from letterlock.pki.harvest import Signed, harvest
from letterlock.pki.trust import Trust
from letterlock.smime.party import load_party
from letterlock.smime.sign import prepare_signature
from tests.attacks.test_signature_spoofing import part
from tests.attacks.test_signature_wrapping import FROM, GOOD, multipart
from tests.fakes.authority import Authority, Identity, make_key
from tests.fakes.own_keys import KeyInMemory
from tests.fakes.people import SIGNED_AT
from tests.fakes.reader import Seen, read

ALICE = "alice@example.org"
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # a user's name in a directory of another system


@cache
def anchor() -> Authority:
    """The one who is trusted."""
    return Authority.create()


def seen_of(who: Identity, *anchors: Authority, sender: bytes = FROM) -> Seen:
    """A letter from Alice, as From has it, signed by ``who``."""
    above = [each.public_bytes(Encoding.DER) for each in who.chain]
    pending = prepare_signature([GOOD], load_party(who.der), above, SIGNED_AT)
    cms = pending.finish(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))
    return read(sender + multipart(GOOD, part(cms)), anchors=anchors or [anchor()])


def test_the_plain_case() -> None:
    assert seen_of(anchor().issue(ALICE, "p256")).is_signed
    assert seen_of(anchor().issue("Alice@EXAMPLE.org", "p256")).is_signed
    assert seen_of(anchor().issue([], "p256", rdn_address=ALICE)).is_signed  # RFC 8550 3


NAMES = {
    "nul": "alice@example.org\0.evil.example",
    "nul before": "x\0alice@example.org",
    "two in one": "mallory@example.net,alice@example.org",
    "two with a blank": "alice@example.org mallory@example.net",
    "angle brackets": "<alice@example.org>",
    "with a name": "Alice <alice@example.org>",
    "comment": "alice@example.org(mallory)",
    "uri": "mailto:alice@example.org",
    "two at signs": "alice@example.org@evil.example",
    "below": "alice@example.org.evil.example",
    "above": "alice@org",
    "wildcard": "*@example.org",
    "wildcard domain": "alice@*.org",
    "a whole domain": "@example.org",
    "a host": "example.org",
    "percent": "alice%example.org@evil.example",
    "plus": "alice+x@example.org",
    "line end": "alice@example.org\r\nx",
    "a-labels": "alice@xn--example-9b9b.org",
}


@pytest.mark.req("B15", "C2")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("place", ["san", "rdn", "utf8"])
def test_names_that_nearly_are_hers(name: str, place: str) -> None:
    """Class ID; embedded NUL, lists, brackets, subdomains: in each place where an address may stand."""
    if place == "san":
        names = der.sequence(der.implicit(1, name.encode()))  # the library's builder would not write most of them
        raw = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
        who = anchor().issue([], "p256", name="Mallory", extensions=((raw, False),))
    elif place == "rdn":
        who = anchor().issue([], "p256", name="Mallory", rdn_address=name)
    else:
        who = anchor().issue([], "p256", name="Mallory", utf8_addresses=[name])
    try:
        assert ALICE not in parse(who.der).addresses
    except MalformedCertificate:  # refused as a whole: then it signs for nobody
        return
    assert not seen_of(who).is_signed


LOOKALIKES = {
    "cyrillic": "\u0430lice@example.org",
    "dotless": "al\u0131ce@example.org",
    "kelvin": "\u212aalice@example.org",
    "full width": "\uff41lice@example.org",
    "full width at": "alice\uff20example.org",
    "zero width": "alice\u200b@example.org",
    "right to left": "\u202ealice@example.org",
    "combining": "a\u0301lice@example.org",
    "ideographic dot": "alice@example\u3002org",
    "soft hyphen": "ali\u00adce@example.org",
}


@pytest.mark.req("B15")
@pytest.mark.parametrize("name", LOOKALIKES.values(), ids=LOOKALIKES.keys())
def test_lookalikes(name: str) -> None:
    """Class ID; RFC 9598 5: what only looks like her address is another one, on either side."""
    who = anchor().issue([], "p256", name="Mallory", utf8_addresses=[name])
    same_mailbox = ALICE in parse(who.der).addresses
    assert same_mailbox is (name == "alice@example\u3002org")  # a dot by RFC 3490 3.1: the domain is the same one
    assert seen_of(who).is_signed is same_mailbox
    honest = anchor().issue(ALICE, "p256")
    if not same_mailbox:
        assert not seen_of(honest, sender=FROM.replace(ALICE.encode(), name.encode())).is_signed


OTHERS = {
    "common name": lambda: anchor().issue([], "p256", name=ALICE),
    "dns": lambda: anchor().issue(
        [], "p256", name="M", extensions=((_san(x509.DNSName("example.org")), False),)
    ),
    "uri": lambda: anchor().issue(
        [], "p256", name="M", extensions=((_san(x509.UniformResourceIdentifier("mailto:alice@example.org")), False),)
    ),
    "upn": lambda: anchor().issue(
        [], "p256", name="M", extensions=((_san(x509.OtherName(UPN, b"\x0c\x11alice@example.org")), False),)
    ),
    "directory name": lambda: anchor().issue(
        [],
        "p256",
        name="M",
        extensions=((_san(x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, ALICE)]))), False),),
    ),
    "issuer's other name": lambda: anchor().issue(
        [],
        "p256",
        name="M",
        extensions=((x509.IssuerAlternativeName([x509.RFC822Name(ALICE)]), False),),
    ),
}  # fmt: skip


def _san(name: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([name])


@pytest.mark.req("B15", "C2")
@pytest.mark.parametrize("made", OTHERS.values(), ids=OTHERS.keys())
def test_places_that_do_not_count(made: object) -> None:
    """RFC 8550 3: an address counts in rfc822Name, SmtpUTF8Mailbox and emailAddress, and nowhere else."""
    who = made()  # type: ignore[operator]
    assert parse(who.der).addresses == ()
    assert not seen_of(who).is_signed


@pytest.mark.req("B15", "C2")
@pytest.mark.parametrize("place", ["san", "rdn", "rdn beside san", "utf8", "utf8 beside san"])
def test_an_authority_speaks_for_its_own_domain_only(place: str) -> None:
    """RFC 5280 4.2.1.10: an authority that is limited to example.net names Alice where its limit might not be looked at:
    in the subject beside an honest rfc822Name, and as SmtpUTF8Mailbox."""
    limited = anchor().intermediate(permitted=["example.net"])
    assert seen_of(
        limited.issue("mallory@example.net", "p256"), sender=b"From: mallory@example.net\r\nMIME-Version: 1.0\r\n"
    ).is_signed
    who = {
        "san": lambda: limited.issue(ALICE, "p256"),
        "rdn": lambda: limited.issue([], "p256", name="M", rdn_address=ALICE),
        "rdn beside san": lambda: limited.issue("mallory@example.net", "p256", rdn_address=ALICE),
        "utf8": lambda: limited.issue([], "p256", name="M", utf8_addresses=[ALICE]),
        "utf8 beside san": lambda: limited.issue("mallory@example.net", "p256", utf8_addresses=[ALICE]),
    }[place]()
    assert not seen_of(who).is_signed


@pytest.mark.req("B15", "C2")
def test_the_same_issuer_serial_and_key_identifier_by_somebody_else() -> None:
    """What CMS names a signer by (RFC 5652 5.3) is copied from Alice's certificate into one that Mallory made herself."""
    alice = anchor().issue(ALICE, "p256")
    key = make_key("p256")
    forger = Authority(anchor().certificate, key)  # the authority's name, another key
    identifier = alice.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    serial, same = alice.certificate.serial_number, ((identifier, False),)
    forged = forger.issue(ALICE, "p256", serial=serial, subject_key_identifier=False, extensions=same)
    assert parse(forged.der).issuer_serial == parse(alice.der).issuer_serial
    assert parse(forged.der).key_identifier == parse(alice.der).key_identifier
    seen = seen_of(forged)
    assert not seen.is_signed
    assert seen.verdicts == ("untrusted",)


@pytest.mark.req("C2", "C9")
def test_a_stranger_does_not_replace_a_key() -> None:
    """\"Mailto: me your secrets", key replacement: a certificate for Alice comes with Mallory's signed mail. It is kept
    for Alice only from mail that Alice signed, and only when it is trusted (pki/harvest.py)."""
    mallory, own = anchor().issue("mallory@example.net", "p256"), Authority.create("Mallory")
    fake, good = own.issue(ALICE, "p256"), anchor().issue(ALICE, "p256")
    trust = Trust([parse(anchor().der)])
    brought = [parse(each.der) for each in (mallory, fake, good)]
    signers = [Signed(parse(mallory.der), None, SIGNED_AT)]
    for author in (ALICE, "mallory@example.net"):
        found = harvest(author, signers, brought, trust, datetime.now(UTC))
        assert all(each.address == "mallory@example.net" for each in found)
    by_alice = harvest(ALICE, [Signed(parse(good.der), None, SIGNED_AT)], brought, trust, datetime.now(UTC))
    assert [each.certificate.der for each in by_alice] == [good.der]
