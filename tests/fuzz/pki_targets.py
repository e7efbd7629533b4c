"""Certificates, lists, OCSP answers and files of them: whatever the octets, an answer or a declared error.

See also
    ``src/letterlock/pki/certificate.py``, ``crl.py``, ``ocsp.py``, ``bundle.py``, ``fetched.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from letterlock.asn1 import der
from letterlock.mail.address import Address
from letterlock.pki import bundle, chains, crl, fetched, ocsp, wanted
from letterlock.pki.certificate import Certificate, match_form, parse
from letterlock.pki.errors import CertificateError, MalformedAnswer, MalformedCertificate, MalformedCrl
from letterlock.pki.path import Rules, validate
from letterlock.pki.policy_tree import PolicyRules
from letterlock.pki.reasons import Reason
from letterlock.smime.errors import SmimeError
from letterlock.smime.party import RecipientId, party
from tests.fakes import revocation
from tests.fuzz.oracle import holds, same, told
from tests.fuzz.scene import Scene

_POLICIES: Final = PolicyRules(frozenset({"1.2.3.4"}), explicit=True)
AT: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)
_NOBODY: Final = wanted.Noted(lambda **_: _none())


async def _none() -> list[str]:
    return []


def certificates(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """Certificates: all that is read of one, and a judgement on it."""
    anchor = parse(stage.issuer.der)
    anchors = chains.index([anchor])
    between = chains.index([found for each in own if (found := parse(each)).is_authority])
    people = (stage.alice, stage.ann, stage.bob, stage.rob, stage.issuer)
    # What was signed, not the signature: one of ECDSA has a twin.
    genuine = {parse(each).parsed.tbs_certificate_bytes for each in (*own, *(one.der for one in people))}

    def run(octets: bytes) -> None:
        said = told(lambda: parse.__wrapped__(octets), MalformedCertificate)
        if said.refused:
            return
        found: Certificate = said.value
        same(parse.__wrapped__(found.der), found, "read again")
        for address in found.addresses:
            same(match_form(address), address, "an address in match form, matched again")
            holds(found.names(address), "a certificate for its own address")
            Address.parse(address)
        holds(RecipientId(found.issuer_serial, b"").names(found) or not found.issuer_serial, "its own identifier")
        _ = repr(found), found.is_self_issued, found.find(x509.NameConstraints), found.extension("2.5.29.17")
        told(lambda: party.__wrapped__(found), SmimeError)
        list(wanted.revocation((found, anchor), _NOBODY))
        list(wanted.issuers(found))
        crl.points.__wrapped__(found)
        for rules in (Rules("encrypt"), Rules("sign", strict=True, policies=_POLICIES)):
            verdict = validate(found, between, anchors, AT, rules)
            holds(
                not verdict.ok or found.parsed.tbs_certificate_bytes in genuine,
                "trusted without the authority's signature",
            )
            holds(verdict.ok or all(isinstance(each, Reason) for each in verdict.reasons), "a reason")

    return run


def lists(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """Revocation lists."""
    known = [parse(each.der) for each in (stage.alice, stage.issuer)]

    def run(octets: bytes) -> None:
        told(lambda: fetched.read_crl(octets), fetched.NotUseful)
        said = told(lambda: crl.parse.__wrapped__(octets), MalformedCrl)
        if said.refused:
            return
        found: crl.Crl = said.value
        for each in known:
            told(lambda each=each: found.entry(each), MalformedCrl)
            crl._fits(found, each)
        crl.is_fresh(found, AT)

    return run


def answers(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """OCSP answers."""
    alice, issuer = parse(stage.alice.der), parse(stage.issuer.der)
    about = wanted.cert_id(alice, issuer)
    signed = {ocsp.parse(each).parsed.tbs_response_bytes for each in own}

    def run(octets: bytes) -> None:
        told(lambda: fetched.read_ocsp(octets, about), fetched.NotUseful)
        said = told(lambda: ocsp.parse.__wrapped__(octets), MalformedAnswer)
        if said.refused:
            return
        told(lambda: ocsp.check_nonce(said.value, b"nonce"), MalformedAnswer)
        status = ocsp.status(said.value, alice, issuer, datetime.now(UTC))
        if status.state is not None:
            holds(said.value.parsed.tbs_response_bytes in signed, "an answer that nobody signed")

    return run


def files(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """Files of certificates and keys, and what stands at caIssuers."""

    def run(octets: bytes) -> None:
        for password in (None, "secret"):
            told(lambda password=password: bundle.read(octets, password), CertificateError)
        for authorities in (True, False):
            told(
                lambda authorities=authorities: fetched.read_certificates(octets, authorities=authorities),
                fetched.NotUseful,
            )

    return run


def certificate_seeds(stage: Scene) -> list[bytes]:
    """Certificates with every extension that is read."""
    uri = x509.UniformResourceIdentifier("http://crl.example/a.crl")
    point = x509.DistributionPoint([uri], None, frozenset({x509.ReasonFlags.key_compromise}), None)
    rich = stage.issuer.issue(
        ["r@example.org", "s@example.org"],
        "p256",
        rdn_address="r@example.org",
        utf8_addresses=["ü@example.org"],
        extensions=(
            (x509.CRLDistributionPoints([point]), False),
            (x509.AuthorityInformationAccess([x509.AccessDescription(Access.CA_ISSUERS, uri)]), False),
            (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), ["x"])]), False),
        ),
    )
    below = stage.issuer.intermediate(permitted=["example.org"], excluded=["bad@example.org"])
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)
    under = below.issue("u@example.org", "p256", extensions=((x509.CertificatePolicies([policy]), False),))
    people = [each.der for each in (stage.alice, stage.ann, stage.issuer)]
    return [*people, rich.der, below.der, under.der]


def list_seeds(stage: Scene) -> list[bytes]:
    """Lists, direct and indirect."""
    revoked = {stage.alice.certificate.serial_number: x509.ReasonFlags.key_compromise, 7: None}
    named = {7: stage.issuer.certificate.subject}
    indirect = revocation.distribution_point(uri="http://crl.example/a.crl", indirect=True)
    return [
        revocation.make_crl(stage.issuer, revoked),
        revocation.make_crl(stage.issuer, revoked, named=named, extensions=[indirect]),
        revocation.make_crl(stage.issuer, {}, extensions=[(x509.DeltaCRLIndicator(1), True)]),
    ]


def answer_seeds(stage: Scene) -> list[bytes]:
    """Answers by the issuer: what they say is what may be believed."""
    return [
        revocation.make_answer(stage.alice, stage.issuer, nonce=b"nonce"),
        revocation.make_answer(stage.bob, stage.issuer, nonce=None),
    ]


def file_seeds(stage: Scene) -> list[bytes]:
    """PEM, P7B, DER keys; PKCS#12 with few iterations, since each try costs them all."""
    own = stage.alice
    found = bundle.read(own.pem).certificates
    return [own.pem + own.key_pem, bundle.to_p7b(found), bundle.to_p7b(found, pem=True), own.pkcs8, own.der,
            own.certificate.public_bytes(Encoding.PEM), der.sequence(der.integer(3)), own.p12(None)]  # fmt: skip
