"""An authority that issues gets a successor, and is revoked: by commands, as openssl and mail see it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.installation import free_port
from tests.stories.test_authority_at_work import Ca, openssl
from tests.stories.world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.req("C5")]


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[Ca]:
    port = free_port()
    with World(environment={"LETTERLOCK_HTTP_PUBLIC": f"127.0.0.1:{port}"}) as world:
        yield Ca(world, port, tmp_path)


def test_a_successor_issues_and_the_old_one_goes_on_answering_until_it_is_revoked(ca: Ca) -> None:
    """One gateway's life: renew, both valid, revoke the old one, and what that does to mail."""
    old_id, old = ca.issue("early@inside.test", "--profile", "smime")
    first = ca.ask("ca", "list")
    renewed = ca.ask("ca", "renew", "House", "--key", "ec-p256", "--days", "700")
    assert [each["generation"] for each in renewed if each["kind"] == "issuing"] == [1, 2]
    successor, predecessor, root = ca.split(ca.world.gateway.cli("ca", "export", "House").stdout)
    assert (predecessor.read_text(), root.read_text()) == (ca.issuing.read_text(), ca.root.read_text())
    _, new = ca.issue("late@inside.test")
    below = ("verify", "-x509_strict", "-purpose", "smimesign", "-crl_check_all", "-CAfile", root)

    def verify(file: Path, issuing: Path) -> subprocess.CompletedProcess[str]:
        return openssl(*below, "-CRLfile", ca.lists(), "-untrusted", issuing, file)

    assert verify(new, successor).returncode == 0
    assert verify(old, predecessor).returncode == 0
    assert verify(new, predecessor).returncode != 0
    assert ca.ask("ca", "revoke", old_id) == {"answer": "done"}
    assert "certificate revoked" in verify(old, predecessor).stderr  # the predecessor still makes its list
    ca.ask("ca", "revoke-authority", "House", "--generation", "2", "--reason", "cACompromise")
    assert "certificate revoked" in verify(new, successor).stderr
    assert len(first) == 2
    told = ca.ask("certificate", "why", "late@inside.test")
    assert told["sign"]["chosen"] == []
    assert "forbidden" in str(told["sign"]["rejected"][0]["reasons"])


def test_who_had_a_certificate_of_the_revoked_one_gets_another(ca: Ca, tmp_path: Path) -> None:
    """Housekeeping asks the successor for each of them; before there is one, a file uploaded again says what is open."""
    people = tmp_path / "people.csv"
    people.write_text("email,name\none@inside.test,One\ntwo@inside.test,Two\n")
    assert [each["answer"] for each in ca.ask("ca", "bulk", str(people))] == ["issued", "issued"]
    ca.ask("ca", "revoke-authority", "House", "--reason", "keyCompromise")
    assert {each["reason"] for each in ca.ask("ca", "issued")} == {"keyCompromise"}
    assert [each["answer"] for each in ca.ask("ca", "bulk", str(people), "--dry-run")] == ["new", "new"]
    ca.ask("ca", "renew", "House", "--key", "ec-p256")
    until = time.monotonic() + 60
    while len([each for each in ca.ask("ca", "issued") if not each["revoked_at"]]) < 2:
        assert time.monotonic() < until, ca.ask("ca", "pending", "list", "--all")
        time.sleep(0.5)
    for address in ("one@inside.test", "two@inside.test"):
        told = ca.ask("certificate", "why", address)
        assert len(told["sign"]["chosen"]) == len(told["encrypt"]["chosen"]) == 1


def test_what_is_refused(ca: Ca) -> None:
    cli = ca.world.gateway.cli
    ca.ask("ca", "renew", "House", "--key", "ec-p256")
    for words, sentence in (
        (("renew", "Nobody"), "authority"),
        (("revoke-authority", "House"), "--generation"),
        (("revoke-authority", "House", "--generation", "7"), "no authority 'House' of generation 7"),
        (("renew", "House", "--days", "0"), "--days"),
    ):
        done = cli("ca", *words, code=None)
        assert done.returncode != 0
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    ca.ask("ca", "revoke-authority", "House", "--generation", "1")
    again = ca.ask("ca", "revoke-authority", "House", "--generation", "1")  # finishes what was cut short
    assert [bool(each["revoked_at"]) for each in again if each["kind"] == "issuing"] == [True, False]
    _, file = ca.issue("still@inside.test")
    assert "Issuing CA 2" in openssl("x509", "-in", file, "-noout", "-issuer").stdout
    ca.ask("ca", "revoke-authority", "House")
    done = cli("ca", "issue", "never@inside.test", "--ca", "House", code=None)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
