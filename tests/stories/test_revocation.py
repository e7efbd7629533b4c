"""What CRLs and OCSP answers say decides about mail: who is encrypted to, who signs, whose signature is believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.fakes import openssl, published
from tests.fakes.authority import Authority, Identity
from tests.fakes.installation import free_port
from tests.fakes.next_hop import Arrival
from tests.fakes.web import Web
from tests.stories.world import World, letter

pytestmark = [pytest.mark.peer, pytest.mark.slow]

TEXT = "for nobody else\r\n"
CONTENT = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
NOWHERE = "http://127.0.0.3:9/crl"  # a host of its own: one that fails is left alone for a while


class Outside:
    """A gateway, and a web server where authorities publish. Each authority here is new: its lists are of it alone."""

    def __init__(self, world: World, web: Web) -> None:
        self.world, self.web = world, web

    def authority(self) -> Authority:
        """Another authority that is trusted."""
        made = Authority.create(f"Authority of {self.world.address('x.test')}", key="rsa2048")
        self.world.trust(made)
        return made

    def reader(self, authority: Authority, *, crl: str = "", ocsp: str = "") -> tuple[str, Identity]:
        """A person outside whose certificate says that revocation is told at ``crl`` or ``ocsp``."""
        address = self.world.address("outside.test", "reader")
        extensions = [published.crl_at(crl)] if crl else [published.access(ocsp_at=ocsp)]
        return address, authority.issue(address, "rsa2048", extensions=extensions)

    def send(self, to: str, sender: str = "") -> str:
        """A message of ours that must be encrypted; its sender."""
        by = sender or self.world.address("inside.test", "sender")
        self.world.gateway.submit(by, to, letter(by, to, "[encrypt] news", TEXT))
        return by

    def sent(self, to: str, who: Identity) -> str:
        """Send, and it arrives encrypted; why it was decided so."""
        self.send(to)
        arrival = self.world.arrived(to, within=30)
        assert TEXT.strip().encode() in openssl.decrypt(arrival.octets, who)
        return self.trace(arrival)

    def held(self, to: str) -> str:
        """Send, and it is held; why it was decided so."""
        entry = self.world.wait_for_held(self.send(to))
        lines: list[str] = self.world.gateway.ask("queue", "show", entry["id"], "--trace")["trace"]
        return "\n".join(lines)

    def trace(self, arrival: Arrival) -> str:
        """Why it was decided so."""
        match = re.search(rb"id ([0-9a-f-]{36})", arrival.octets)
        assert match
        lines: list[str] = self.world.gateway.ask("queue", "show", match[1].decode(), "--trace")["trace"]
        return "\n".join(lines)

    def come(self, sender: str, signer: Identity, to: str) -> Arrival:
        """A signed message from outside, as it arrives."""
        fields = f"From: {sender}\r\nTo: {to}\r\nSubject: results\r\n".encode()
        self.world.gateway.receive(sender, to, openssl.sign(CONTENT, signer, fields=fields))
        return self.world.arrived(to, within=30)


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    environment = {"LETTERLOCK_HTTP_PUBLIC": f"127.0.0.1:{free_port()}"}
    with World({"fetch_networks": "127.0.0.1/32,127.0.0.3/32"}, environment) as world, Web() as web:
        yield Outside(world, web)


@pytest.mark.req("C1", "C2")
def test_nothing_is_encrypted_to_a_revoked_certificate(outside: Outside) -> None:
    authority = outside.authority()
    at = outside.web.url("/revoked")
    to, who = outside.reader(authority, crl=at)
    outside.web.give("/revoked", published.crl(authority, who.certificate.serial_number))
    outside.world.import_identity(who, key=False)
    why = outside.held(to)
    assert "certificate not used: revoked" in why
    assert "revoked on 20" in why
    assert f"by the CRL of {authority.certificate.subject.rfc4514_string()}" in why
    told = outside.world.gateway.ask("certificate", "why", to, "--encrypt")["encrypt"]["rejected"][0]
    assert told["reasons"] == ["revoked"]
    assert "by the CRL of" in told["detail"]
    (shown,) = outside.world.gateway.ask("certificate", "show", told["thumbprint"])
    assert not shown["good_to_encrypt"]
    assert "by the CRL of" in shown["revocation"]


@pytest.mark.req("C1", "C2")
def test_what_is_learned_about_one_acts_on_the_next_message_to_another(outside: Outside) -> None:
    """Both certificates are by one authority: the list that came for the second names the first."""
    authority = outside.authority()
    first, who = outside.reader(authority, crl=outside.web.url("/first"))
    second, other = outside.reader(authority, crl=outside.web.url("/second"))
    outside.web.give("/first", published.crl(authority))
    outside.web.give(
        "/second", published.crl(authority, who.certificate.serial_number, this_update=published.now(), number=2)
    )
    for each in (who, other):
        outside.world.import_identity(each, key=False)
    outside.sent(first, who)
    outside.sent(second, other)
    assert "revoked" in outside.held(first)


@pytest.mark.req("C2", "C4")
@pytest.mark.parametrize("where", ["crl", "ocsp"])
def test_soft_goes_on_without_an_answer_and_says_so(outside: Outside, where: str) -> None:
    to, who = outside.reader(outside.authority(), **{where: NOWHERE})
    outside.world.import_identity(who, key=False)
    why = outside.sent(to, who)
    assert "not known whether revoked: " in why
    assert "no CRL at hand covers it" in why
    assert "accepted, because smime_revocation = soft" in why


@pytest.mark.req("C2", "C4")
@pytest.mark.parametrize("where", ["crl", "ocsp"])
def test_hard_does_not(outside: Outside, where: str) -> None:
    to, who = outside.reader(outside.authority(), **{where: NOWHERE})
    outside.world.import_identity(who, key=False)
    outside.world.set("smime_revocation", "hard", "--user", to)
    why = outside.held(to)
    assert "certificate not used: revocation-unknown" in why
    assert "no CRL at hand covers it" in why
    assert f"refused, because smime_revocation = hard (user {to})" in why
    explained = outside.world.gateway.folder / "news.eml"
    explained.write_bytes(letter("a@inside.test", to, "[encrypt] news", TEXT))
    said = outside.world.gateway.cli("explain", str(explained), "--from", "a@inside.test", "--to", to, code=1).stdout
    assert "revocation-unknown (" in said


@pytest.mark.req("C2", "C4")
@pytest.mark.parametrize("where", ["crl", "ocsp"])
def test_hard_waits_for_the_answer_and_goes_on(outside: Outside, where: str) -> None:
    authority = outside.authority()
    path = f"/good-{where}"
    to, who = outside.reader(authority, **{where: outside.web.url(path)})
    if where == "crl":
        outside.web.give(path, published.crl(authority))
    else:
        outside.web.handle(path, published.responder(authority, who))
    outside.world.import_identity(who, key=False)
    outside.world.set("smime_revocation", "hard", "--user", to)
    assert "method smime: used" in outside.sent(to, who)


@pytest.mark.req("C4")
def test_an_ocsp_answer_revokes(outside: Outside) -> None:
    authority = outside.authority()
    to, who = outside.reader(authority, ocsp=outside.web.url("/ocsp"))
    outside.web.handle("/ocsp", published.responder(authority, who, revoked=True))
    outside.world.import_identity(who, key=False)
    why = outside.held(to)
    assert "revoked on 20" in why
    assert "by an OCSP answer" in why


@pytest.mark.req("C1", "C2")
def test_nobody_signs_with_a_revoked_certificate(outside: Outside) -> None:
    authority = outside.authority()
    sender = outside.world.address("inside.test", "signer")
    mine = authority.issue(sender, "rsa2048", extensions=[published.crl_at(outside.web.url("/mine"))])
    outside.web.give("/mine", published.crl(authority, mine.certificate.serial_number))
    outside.world.import_identity(mine, key=True)
    outside.world.set("smime_sign", "yes", "--user", sender)
    to = outside.world.address("outside.test", "anybody")
    outside.world.gateway.submit(sender, to, letter(sender, to))
    arrival = outside.world.arrived(to, within=30)
    assert b"multipart/signed" not in arrival.octets
    assert "revoked on 20" in outside.trace(arrival)


@pytest.mark.req("C1", "C2", "A15")
def test_a_signature_by_a_revoked_certificate_is_not_believed(outside: Outside) -> None:
    authority = outside.authority()
    member, _ = outside.world.member()
    sender, signer = outside.reader(authority, crl=outside.web.url("/signer"))
    outside.web.give("/signer", published.crl(authority, signer.certificate.serial_number))
    arrival = outside.come(sender, signer, member)
    assert arrival.subject == "[invalid signature] results"
    assert arrival.mail["X-Letterlock-Info-Signer-Verification-Info-0-0"].startswith("revoked")
    assert "signature revoked (" in outside.trace(arrival)
    assert outside.world.gateway.ask("certificate", "list", sender) == [], "nothing is harvested of it"


@pytest.mark.req("C1", "C2", "A15")
@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_a_signature_of_which_nothing_is_known(outside: Outside, mode: str) -> None:
    member, _ = outside.world.member()
    outside.world.set("smime_revocation", mode, "--user", member)
    sender, signer = outside.reader(outside.authority(), crl=NOWHERE)
    arrival = outside.come(sender, signer, member)
    why = outside.trace(arrival)
    if mode == "soft":
        assert arrival.subject == "[signed] results"
        assert "signature ok (not known whether revoked: " in why
        assert "no CRL at hand covers it" in why
    else:
        assert arrival.subject == "[invalid signature] results"
        assert "signature revocation-unknown (" in why


@pytest.mark.req("C1", "C5")
def test_what_our_own_authority_revokes_is_revoked_at_once(outside: Outside) -> None:
    world = outside.world
    world.gateway.cli("domain", "add", "partner.test")
    world.gateway.ask("ca", "create", "House", "--key", "rsa-3072")
    address = "paula@partner.test"
    issued = world.gateway.ask("ca", "issue", address, "--ca", "House")["issued"]
    password = world.gateway.ask("ca", "send", issued, "--from", "pki@inside.test")["password"]
    paula = _identity(world.arrived(address), password)
    world.gateway.ask("ca", "confirm", issued)
    world.set("smime_revocation", "hard", "--user", address)
    outside.send(address)
    mail = world.hop.wait_for_recipient(address, count=2)[1]
    assert TEXT.strip().encode() in openssl.decrypt(mail.octets, paula)
    member, _ = world.member()
    assert outside.come(address, paula, member).subject == "[signed] results"
    world.gateway.ask("ca", "revoke", issued, "--reason", "keyCompromise")
    world.wait_for_held(outside.send(address))
    member, _ = world.member()
    arrival = outside.come(address, paula, member)
    assert arrival.subject == "[invalid signature] results"
    assert "(keyCompromise), by the CRL of" in outside.trace(arrival)


def _identity(arrival: Arrival, password: str) -> Identity:
    """Key and certificate that came by mail."""
    parts = [each for each in message_from_bytes(arrival.octets).walk() if each.get_filename() == "certificate.p12"]
    opened = pkcs12.load_pkcs12(parts[0].get_payload(decode=True), password.encode())  # type: ignore[arg-type]  # octets
    assert opened.cert is not None
    chain = tuple(each.certificate for each in opened.additional_certs)
    return Identity(opened.cert.certificate, opened.key, chain)  # type: ignore[arg-type]  # of a kind that signs
