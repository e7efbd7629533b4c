"""The families of "Johnny, you are fired!" one by one, as the reader inside sees them: never signed by the author in From.

See also
    Müller, Brinkmann, Poddebniak, Böck, Schinzel, Somorovsky, Schwenk, "Johnny, you are fired! Spoofing OpenPGP and S/MIME
    signatures in emails" (USENIX Security 2019); docs/attacks.md. Further cases of these families stand in
    ``test_signature_wrapping.py``, ``test_partly_signed.py`` and ``test_spoofed_author.py``.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.asn1 import ber, der, oid
from letterlock.smime.base64_lines import base64_lines
from letterlock.smime.cms_write import SignedBy
from letterlock.smime.mime import to_mime
from letterlock.smime.party import load_party
from letterlock.smime.sign import detached, opaque, prepare_signature
from letterlock.smime.signatures import SIGNATURES
from tests.attacks.test_signature_wrapping import EVIL, FROM, GOOD, multipart, signature_of
from tests.fakes.authority import Authority, Identity
from tests.fakes.own_keys import KeyInMemory
from tests.fakes.people import SIGNED_AT, person, sign
from tests.fakes.reader import read

ALICE, MALLORY = person("alice"), person("mallory")
SIGNATURE = b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def by(who: Identity, content: bytes) -> SignedBy:
    """One signer of this content."""
    pending = prepare_signature([content], load_party(who.der), (), SIGNED_AT)
    return pending.signed(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))


def part(cms: bytes) -> bytes:
    """A signature part of any CMS object."""
    return SIGNATURE + b"".join(base64_lines([cms]))


def whole(cms: bytes) -> bytes:
    """A message that is a signed CMS object."""
    return FROM + b"".join(to_mime([cms], "signed-data")).removeprefix(b"MIME-Version: 1.0\r\n")


def inside(content: bytes, *signers: SignedBy) -> bytes:
    """Signed data that holds this content, whatever the signers signed."""
    return b"".join(opaque([content], len(content), signers))


def rebuilt(cms: bytes, **changes: bytes) -> bytes:
    """Signed data with some of its fields replaced: version, digests, content, certificates, signers; b"" leaves one out."""
    (data,) = ber.single(cms).children()[1].children()
    names = ("version", "digests", "content", "certificates", "signers")
    fields = dict(zip(names, (each.raw for each in data.children()), strict=True)) | changes
    return der.sequence(oid.SIGNED_DATA, der.explicit(0, der.sequence(*fields.values())))


def test_the_plain_cases() -> None:
    """Nothing here would be worth anything if the honest ones were not shown as signed."""
    assert read(FROM + multipart(GOOD, signature_of(GOOD))).is_signed
    assert read(whole(inside(GOOD, by(ALICE, GOOD)))).is_signed
    assert read(FROM + multipart(GOOD, part(detached([by(ALICE, GOOD), by(ALICE, GOOD)])))).is_signed


# ---- class CMS


@pytest.mark.req("B1", "B15")
def test_econtent_confusion() -> None:
    """Class CMS, "eContent confusion": what is signed stands inside the signature, what is shown beside it."""
    for content in (EVIL, GOOD):
        seen = read(FROM + multipart(content, part(inside(GOOD, by(ALICE, GOOD)))))
        assert not seen.is_signed
        assert "ok" not in seen.verdicts


@pytest.mark.req("B1", "B15")
@pytest.mark.parametrize("turned", [False, True])
def test_multiple_signers_of_which_one_is_good(turned: bool) -> None:
    """Class CMS, "multiple signers": Mallory signs well, and what Alice once signed stands beside it."""
    signers = [by(MALLORY, EVIL), by(ALICE, GOOD)]
    seen = read(FROM + multipart(EVIL, part(detached(signers[::-1] if turned else signers))))
    assert not seen.is_signed
    assert set(seen.verdicts) == {"address-mismatch", "bad-signature"}


@pytest.mark.req("B1", "B15")
def test_multiple_signers_of_whom_all_are_good() -> None:
    """The same: Mallory adds herself to what Alice really signed. It is not passed off as Alice's alone."""
    seen = read(FROM + multipart(GOOD, part(detached([by(MALLORY, GOOD), by(ALICE, GOOD)]))))
    assert sorted(seen.verdicts) == ["address-mismatch", "ok"]
    assert not seen.is_signed


@pytest.mark.req("B1", "B15")
@pytest.mark.parametrize("where", ["detached", "inside"])
def test_no_signers(where: str) -> None:
    """Class CMS, "no signers": signed data without any, with Alice's certificate."""
    empty = der.tlv(der.SET)
    if where == "detached":
        octets = FROM + multipart(EVIL, part(rebuilt(sign([EVIL], ALICE)[0], signers=empty, digests=empty)))
    else:
        octets = whole(rebuilt(inside(EVIL, by(ALICE, EVIL)), signers=empty))
    seen = read(octets)
    assert not seen.is_signed
    assert seen.verdicts == ()


@pytest.mark.req("B1", "B15", "C2")
@pytest.mark.parametrize("fault", ["self-made", "expired", "of an end entity", "for servers", "unknown authority"])
def test_trust_issues(fault: str) -> None:
    """Class CMS, "trust issues": certificates with Alice's address that nobody should believe."""
    trusted, other = Authority.create(), Authority.create("Somebody")
    if fault == "self-made":
        made = other.issue("alice@example.org", "p256")
    elif fault == "expired":
        then = SIGNED_AT.replace(year=2020)
        made = trusted.issue("alice@example.org", "p256", not_before=then, not_after=then.replace(month=12))
    elif fault == "of an end entity":
        mallory = trusted.issue("mallory@example.net", "p256")
        made = Authority(mallory.certificate, mallory.key, mallory.chain).issue("alice@example.org", "p256")
    elif fault == "for servers":
        made = trusted.issue("alice@example.org", "p256", purposes=("server",))
    else:
        made = other.intermediate(trusted.certificate.subject.rfc4514_string()).issue("alice@example.org", "p256")
    pending = prepare_signature(
        [GOOD], load_party(made.der), [each.public_bytes(Encoding.DER) for each in made.chain], SIGNED_AT
    )
    cms = pending.finish(KeyInMemory(made).sign_now(pending.tbs, pending.algorithm))
    seen = read(FROM + multipart(GOOD, part(cms)), anchors=[trusted])
    assert not seen.is_signed
    assert seen.verdicts[0] in ("untrusted", "expired")


@pytest.mark.req("B1", "B15")
def test_signed_data_without_content() -> None:
    """A detached signature sent as if its content were inside: nothing is shown, and nobody as its signer."""
    seen = read(whole(sign([GOOD], ALICE)[0]))
    assert not seen.is_signed
    assert seen.verdicts == ("bad-signature",)
    empty = read(whole(sign([b""], ALICE)[0]))  # Alice signed nothing, once
    assert b"Pay" not in empty.opened


@pytest.mark.req("B1", "B15")
def test_attributes_as_content_inside() -> None:
    """Changed roles (RFC 5652 5.4; Van Geest and Strenzke, "Best practices for CMS SignedData with regards to signed
    attributes"): the attributes of an honest message become the content of one without attributes, inside the object."""
    (data,) = ber.single(sign([GOOD], ALICE)[0]).children()[1].children()
    (signer,) = data.children()[-1].children()
    parts = signer.children()
    bare = der.sequence(*(each.raw for each in parts if each.tag != 0xA0))
    attributes = der.tlv(der.SET, parts[3].content)
    for content in (attributes, b"\x31\x84" + len(parts[3].content).to_bytes(4, "big") + parts[3].content):
        cms = rebuilt(inside(content, by(ALICE, GOOD)), signers=der.tlv(der.SET, bare))
        seen = read(whole(cms))
        assert not seen.is_signed
        assert "ok" not in seen.verdicts


@pytest.mark.req("B1", "B15")
@pytest.mark.parametrize("change", ["digest", "signature"])
def test_exchanged_algorithms(change: str) -> None:
    """CMS attribute confusion: the identifiers in the signer info are exchanged (what RFC 6211 is about)."""
    (data,) = ber.single(sign([GOOD], ALICE)[0]).children()[1].children()
    (signer,) = data.children()[-1].children()
    parts = [each.raw for each in signer.children()]
    sha512 = der.sequence(oid.encode("2.16.840.1.101.3.4.2.3"))
    if change == "digest":
        parts[2] = sha512
    else:
        parts[4] = SIGNATURES["rsa-pss-sha256"].identifier
    cms = rebuilt(
        sign([GOOD], ALICE)[0], signers=der.tlv(der.SET, der.sequence(*parts)), digests=der.tlv(der.SET, sha512)
    )
    seen = read(FROM + multipart(GOOD, part(cms)))
    assert not seen.is_signed


@pytest.mark.req("B1", "B15")
@pytest.mark.parametrize("micalg", [b"md5", b"sha-1", b"sha-512", b"sha-256"])
def test_a_wrong_micalg_changes_nothing(micalg: bytes) -> None:
    """The name of the digest in the field is a hint for streaming (RFC 1847 2.1); what counts is in the signature."""
    for content in (GOOD, EVIL):
        octets = (FROM + multipart(content, signature_of(GOOD))).replace(b"micalg=sha-256", b"micalg=" + micalg)
        assert read(octets).is_signed is (content == GOOD)
        assert not read(octets.replace(b"micalg=", b"micalg=x; micalg=")).is_signed  # readers would disagree


# ---- class MIME

OPAQUE = b"".join(to_mime([inside(GOOD, by(ALICE, GOOD))], "signed-data")).removeprefix(b"MIME-Version: 1.0\r\n")
CLEAR = multipart(GOOD, signature_of(GOOD), boundary=b"inner")
HTML = b'Content-Type: text/html\r\n\r\n<p>Pay Mallory.</p><div style="display:none"><iframe src="cid:part">\r\n'


def around(kind: bytes, *parts: bytes) -> bytes:
    """A message of these parts."""
    return FROM + b'Content-Type: multipart/%b; boundary="m"\r\n\r\n%b--m--\r\n' % (
        kind,
        b"".join(b"--m\r\n%b\r\n" % each for each in parts),
    )


@pytest.mark.req("B1", "B15")
@pytest.mark.parametrize("kind", [b"mixed", b"alternative", b"related", b"digest", b"parallel", b"report", b"x-other"])
@pytest.mark.parametrize("signed", [CLEAR, OPAQUE], ids=["clear", "opaque"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_signed_part_beside_others(kind: bytes, signed: bytes, order: int) -> None:
    """Class MIME: the signed part is hidden by what stands before it, or carried along behind it."""
    seen = read(around(kind, *(HTML, signed)[::order]))
    assert not seen.is_signed
    assert seen.verdicts == ()
    assert "[mixed content]" in seen.tags


@pytest.mark.req("B1", "B15")
@pytest.mark.parametrize("signed", [CLEAR, OPAQUE], ids=["clear", "opaque"])
@pytest.mark.parametrize(
    "frame",
    [
        b"Content-Type: message/rfc822\r\n\r\n" + FROM,
        b"Content-Type: message/global\r\n\r\n" + FROM,
        b'Content-Type: message/partial; id="x"; number=1; total=1\r\n\r\n' + FROM,
        b"Content-Type: message/external-body; access-type=URL;\r\n URL=\"http://evil.example/\"\r\n\r\n",
        b"Content-Type: text/html\r\n\r\n",
        b"Content-Type: text/plain\r\n\r\n",
        b"Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=inner\r\n\r\n",
    ],
    ids=["rfc822", "global", "partial", "external-body", "html", "plain", "pgp"],
)  # fmt: skip
def test_a_signed_message_inside_another(frame: bytes, signed: bytes) -> None:
    """Class MIME, attachments: somebody else's signed message is wrapped; the wrapper is not signed."""
    seen = read(FROM + frame + signed)
    assert not seen.is_signed
    assert "ok" not in seen.verdicts


@pytest.mark.req("B1", "B15")
def test_an_unsigned_layer_around_a_signed_one_is_no_signature() -> None:
    """A certificates-only object, or compression, is no second signature; what is signed inside stays what was signed."""
    empty = der.tlv(der.SET)
    hollow = rebuilt(inside(OPAQUE, by(MALLORY, OPAQUE)), signers=empty)
    seen = read(whole(hollow))
    assert not seen.is_signed


# ---- class ID: who is meant by From


@pytest.mark.req("B15")
def test_the_signer_is_compared_with_from_and_nothing_else() -> None:
    """Class ID: Mallory's good signature under Alice's From, with Mallory in every other field there is."""
    others = b"".join(
        b"%b: mallory@example.net\r\n" % name
        for name in (b"Sender", b"Reply-To", b"Return-Path", b"Resent-From", b"X-From", b"Disposition-Notification-To")
    )
    seen = read(others + FROM + multipart(GOOD, part(detached([by(MALLORY, GOOD)]))))
    assert not seen.is_signed
    assert seen.tags == ("[signed by: mallory@example.net]",)


# ---- class UI


@pytest.mark.req("B15")
def test_our_own_words_in_the_subject_are_not_ours() -> None:
    """Class UI: what looks like our tag is taken out before ours is set (the cases: test_spoofed_tags.py)."""
    seen = read(b"Subject: [signed] [decrypted] pay\r\n" + FROM + GOOD)
    assert seen.tags == ()
