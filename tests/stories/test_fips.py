"""A whole gateway under crypto_profile fips: it says what is switched off, keeps to it, and refuses where it must."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from letterlock.asn1 import oid
from letterlock.config import approved
from tests.fakes import openssl
from tests.fakes.authority import Identity
from tests.fakes.installation import Installation
from tests.fakes.people import encrypted
from tests.stories.world import World, letter

FIPS = {"LETTERLOCK_RUN_CRYPTO_PROFILE": "fips"}
LIST_ONLY = {**FIPS, "LETTERLOCK_RUN_FIPS_PROVIDER": "not required"}
CONTENT = b"Content-Type: text/plain\r\n\r\nthe eagle has landed\r\n"
RSA_PKCS1, RSA_OAEP = (oid.encode(f"1.2.840.113549.1.1.{each}") for each in (1, 7))


@pytest.fixture(scope="module")
def strict() -> Iterator[World]:
    """A gateway under fips; nothing here has a provider, so it must not demand one."""
    with World(environment=LIST_ONLY) as world:
        yield world


def _member(world: World, key: str) -> tuple[str, Identity]:
    """Somebody inside. Their key comes as PEM: PKCS#12 is not used here."""
    address = world.address("inside.test", "insider")
    who = world.authority.issue(address, key)  # type: ignore[arg-type]
    path = world.gateway.folder / f"identity-{secrets.token_hex(4)}"
    path.write_bytes(who.sealed_pem("secret"))
    world.gateway.cli("certificate", "import", str(path), "--password", "secret")
    return address, who


@pytest.mark.req("M2")
@pytest.mark.slow
def test_a_provider_that_is_demanded_is_demanded() -> None:
    """Neither OpenSSL here has one: ``run`` ends with one sentence, and so does ``init``."""
    with Installation.create() as gateway:
        gateway.environment.update(FIPS)
        for words in (("run",), ("init",), ("queue", "list")):
            done = gateway.cli(*words, code=2)
            assert "FIPS provider" in done.stderr and "fips_provider" in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
            assert "letterlock ready" not in done.stdout
        other = gateway.folder / "other"
        gateway.cli("init", state=False, more=("--state", str(other)), code=2)
        assert not any(other.iterdir())
        (bad,) = [each for each in gateway.ask("doctor", code=1) if each["name"] == "fips provider"]
        assert bad["state"] == "bad"


@pytest.mark.req("M2")
@pytest.mark.slow
def test_it_says_what_is_switched_off(strict: World) -> None:
    lines = [json.loads(each) for each in strict.gateway.errors().splitlines() if '"gateway.restricted"' in each]
    off = [each for each in approved.TABLE if not each.approved]
    assert all(each.name in lines[0]["message"] for each in off)
    found = {each["name"]: each for each in strict.gateway.ask("doctor", code=None)}
    assert all(told in found["algorithms"]["sentence"] for told in approved.disabled())
    assert found["fips provider"]["state"] == "warning"


@pytest.mark.req("M2")
@pytest.mark.slow
@pytest.mark.peer
def test_mail_out_is_encrypted_by_approved_means(strict: World) -> None:
    sender, _ = _member(strict, "p256")
    to, reader = strict.stranger(key="rsa2048")
    strict.gateway.submit(sender, to, letter(sender, to, text="the eagle has landed\r\n"))
    arrival = strict.arrived(to)
    octets = arrival.mail.get_payload(decode=True)
    assert RSA_OAEP in octets
    assert RSA_PKCS1 + b"\x05\x00\x04" not in octets
    content, _ = openssl.verify(openssl.decrypt(arrival.octets, reader), strict.authority)
    assert b"the eagle has landed" in content


@pytest.mark.req("M2")
@pytest.mark.slow
def test_mail_in_is_opened_by_approved_means_only(strict: World) -> None:
    sender, _ = strict.stranger()
    for key, is_opened in (("p256", True), ("rsa2048", False)):
        to, reader = _member(strict, key)
        fields = f"From: {sender}\r\nTo: {to}\r\nSubject: results\r\nMIME-Version: 1.0\r\n".encode()
        strict.gateway.receive(sender, to, encrypted(fields + CONTENT, reader))  # RSA: PKCS #1 v1.5, as everybody does
        assert (b"the eagle has landed" in strict.arrived(to).octets) is is_opened


@pytest.mark.req("M2")
@pytest.mark.slow
def test_certificates_that_are_not_approved_are_not_chosen(strict: World) -> None:
    sender, _ = _member(strict, "p256")
    to, _ = strict.stranger(key="x25519")
    strict.set("encrypt_mode", "mandatory", "--user", to)
    strict.gateway.submit(sender, to, letter(sender, to, text="the eagle has landed\r\n"))
    strict.wait_for_held(sender)
    who = strict.authority.issue(strict.address("inside.test"), "p256")
    path = strict.gateway.folder / "identity.p12"
    path.write_bytes(who.p12("secret"))
    done = strict.gateway.cli("certificate", "import", str(path), "--password", "secret", code=1)
    assert "crypto_profile is fips" in done.stderr
