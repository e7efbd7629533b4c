"""``setting``, ``domain``, ``explain``, ``doctor`` and ``queue`` against a database that answers from memory."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.cli import doctor, domain, explain, queue, setting
from letterlock.cli.connect import Door
from letterlock.errors import LetterlockError, UsageError
from letterlock.policy.settings.kinds import SettingInvalid
from tests.fakes.authority import Authority

HOME = UUID(int=3)


class Gate:
    """Answers the calls of policy and pki as the database would, from a few dictionaries."""

    def __init__(self) -> None:
        self.settings: dict[tuple[str, str, str], Any] = {}
        self.domains: dict[str, bool] = {"inside.example": True}
        self.candidates: list[tuple[Any, ...]] = []
        self.authorities: list[tuple[bytes, bool]] = []

    async def call(self, function: str, **arguments: Any) -> Iterable[tuple[Any, ...]]:
        """See database.gate.Gate."""
        assert arguments.pop("token") == b"t"
        return getattr(self, "_" + function.replace(".", "_"))(**arguments)

    def _policy_set(self, level: str, scope: str, name: str, value: Any) -> list[tuple[Any, ...]]:
        if level == "organisation" and scope != "default":
            return [("not-found",)]
        self.settings[level, scope, name] = value
        return [("done",)]

    def _policy_unset(self, level: str, scope: str, name: str) -> list[tuple[Any, ...]]:
        return [("done" if self.settings.pop((level, scope, name), None) is not None else "not-found",)]

    def _policy_explain(self, addresses: list[str]) -> list[tuple[Any, ...]]:
        found = []
        for address in addresses:
            own = address.rpartition("@")[2]
            scopes = [("gateway", ""), ("wildcard", f"*.{own.partition('.')[2]}"), ("domain", own), ("user", address)]
            values: dict[str, tuple[Any, ...]] = {}
            for level, scope in scopes:
                for (at, where, name), value in self.settings.items():
                    if (at, where) == (level, scope):
                        values[name] = (address, name, value, level, scope)
            found += values.values()
        return found

    def _policy_list(self, level: str, scope: str) -> list[tuple[Any, ...]]:
        return [
            (at, where, name, value, "local:x", None)
            for (at, where, name), value in self.settings.items()
            if at == level
        ]

    def _policy_domains_list(self) -> list[tuple[Any, ...]]:
        return [(name, internal, HOME, "default", "local:x", None) for name, internal in self.domains.items()]

    def _policy_organisations(self) -> list[tuple[Any, ...]]:
        return [(HOME, "default")]

    def _policy_add_domain(self, name: str, internal: bool, organisation: UUID | None) -> list[tuple[Any, ...]]:
        before, self.domains[name] = self.domains.get(name), internal
        return [("already" if before is internal else "done",)]

    def _policy_remove_domain(self, name: str) -> list[tuple[Any, ...]]:
        return [("done" if self.domains.pop(name, None) is not None else "not-found",)]

    def _pki_explain_candidates(self, addresses: list[str]) -> list[tuple[Any, ...]]:
        return [row for row in self.candidates if row[0] in addresses]

    def _pki_explain_authorities(self) -> list[tuple[bytes, bool]]:
        return self.authorities

    def _pki_explain_crls(self, issuers: list[bytes], known: list[bytes], most: int) -> list[tuple[Any, ...]]:
        return []

    def _pki_explain_ctl_entries(self) -> list[tuple[Any, ...]]:
        return []


@pytest.fixture
def gate() -> Gate:
    return Gate()


def run(gate: Gate, module: ModuleType, *words: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers())
    arguments = parser.parse_args([module.__name__.rpartition(".")[2], *words])
    door = Door(gate=cast("Any", gate), token=b"t", keyholder=cast("Any", None), principal="local:x", state=Path())
    code = asyncio.run(module.run(arguments, door))
    assert isinstance(code, int)
    return code


@pytest.mark.req("A7", "J3")
def test_set_get_unset(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gate, setting, "set", "encrypt_mode", "mandatory") == 0
    assert run(gate, setting, "set", "--domain", "*.Example.org", "encrypt_mode", "none") == 0
    assert run(gate, setting, "set", "--domain", "x.example.org", "queue_life", "4h") == 0
    assert gate.settings == {
        ("gateway", "", "encrypt_mode"): "mandatory",
        ("wildcard", "*.example.org", "encrypt_mode"): "none",
        ("domain", "x.example.org", "queue_life"): 14400,
    }
    capsys.readouterr()
    assert run(gate, setting, "get", "--user", "a@x.example.org", "encrypt_mode") == 0
    assert capsys.readouterr().out == "none (wildcard *.example.org)\n"
    assert run(gate, setting, "get", "encrypt_mode", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "encrypt_mode",
        "value": "mandatory",
        "level": "gateway",
        "origin": "",
    }
    assert run(gate, setting, "get", "smime_max_size") == 0
    assert capsys.readouterr().out == "50MiB (factory)\n"
    assert run(gate, setting, "unset", "encrypt_mode") == 0
    assert run(gate, setting, "unset", "encrypt_mode") == 1


@pytest.mark.req("A7")
def test_list_shows_origins(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    run(gate, setting, "set", "--domain", "x.example", "tls_out", "verify")
    capsys.readouterr()
    assert run(gate, setting, "list", "--domain", "x.example", "--changed") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["tls_out", "verify", "domain", "x.example"]
    assert run(gate, setting, "list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["tls_out"] == {"name": "tls_out", "value": "may", "level": "factory", "origin": ""}
    assert len(rows) > 60


def test_organisation(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gate, setting, "set", "--organisation", "default", "encrypt_mode", "mandatory") == 0
    assert run(gate, setting, "set", "--organisation", "nobody", "encrypt_mode", "mandatory") == 1
    capsys.readouterr()
    assert run(gate, setting, "get", "--organisation", "default", "encrypt_mode") == 0
    assert capsys.readouterr().out == "mandatory (organisation default)\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("set", "encrypt_mode", "maybe"), "must be one of"),
        (("set", "nothing_known", "1"), "There is no setting"),
        (("set", "--user", "a@b.example", "relay_networks", "::/0"), "can be set at these levels only: gateway"),
        (("set", "--user", "nobody", "encrypt_mode", "none"), "nobody is not a valid e-mail address"),
        (("get", "--domain", "a b", "encrypt_mode"), "a b is not a valid domain"),
    ],
)
def test_wrong_use_is_one_sentence(gate: Gate, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        run(gate, setting, *words)
    assert gate.settings == {}


@pytest.mark.parametrize(
    ("networks", "wide"),
    [
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1, 0.0.0.0/1, 128.0.0.0/1", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2000::/3", "2000::/3"),
        ("10.0.0.0/8, 192.0.2.0/24, fc00::/7, 2001:db8::/32", ""),
    ],
)
def test_open_relay_needs_force(gate: Gate, capsys: pytest.CaptureFixture[str], networks: str, wide: str) -> None:
    words = ("set", "relay_networks", networks)
    if not wide:
        assert run(gate, setting, *words) == 0
        assert capsys.readouterr().err == ""
        return
    with pytest.raises(UsageError, match=r"open relay.*--force"):
        run(gate, setting, *words)
    assert gate.settings == {}
    assert run(gate, setting, *words, "--force") == 0
    told = capsys.readouterr().err
    assert f"Warning: {wide} in relay_networks makes an open relay" in told
    assert gate.settings


def test_keyword_and_its_switch_must_fit(gate: Gate) -> None:
    run(gate, setting, "set", "subject_trigger", "(a+)+")
    with pytest.raises(SettingInvalid):
        run(gate, setting, "set", "subject_trigger_is_regex", "yes")
    run(gate, setting, "set", "subject_trigger", "a+")
    run(gate, setting, "set", "subject_trigger_is_regex", "yes")
    with pytest.raises(SettingInvalid):
        run(gate, setting, "set", "subject_trigger", "(a+)+")


@pytest.mark.req("A5", "J3")
def test_domains(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gate, domain, "add", "Bücher.example", "--internal") == 0
    assert gate.domains["xn--bcher-kva.example"] is True
    assert run(gate, domain, "list") == 0
    assert "xn--bcher-kva.example  internal" in capsys.readouterr().out
    assert run(gate, domain, "list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert run(gate, domain, "remove", "bücher.example") == 0
    assert run(gate, domain, "remove", "bücher.example") == 1
    with pytest.raises(UsageError):
        run(gate, domain, "add", "*.example")
    with pytest.raises(LetterlockError, match="no organisation"):
        run(gate, domain, "add", "x.example", "--organisation", "nobody")


@pytest.mark.req("A5")
def test_internal_domain_becomes_external_only_when_asked(gate: Gate) -> None:
    with pytest.raises(UsageError, match=r"inside\.example is internal; say --internal"):
        run(gate, domain, "add", "Inside.example", "--organisation", "default")
    assert gate.domains["inside.example"] is True
    assert run(gate, domain, "add", "new.example") == 0
    assert run(gate, domain, "add", "new.example") == 0
    assert run(gate, domain, "add", "inside.example", "--internal") == 0
    assert run(gate, domain, "add", "inside.example", "--external") == 0
    assert gate.domains == {"inside.example": False, "new.example": False}


def test_doctor_asks_the_running_gateway_for_what_was_forgotten(gate: Gate) -> None:
    door = Door(gate=cast("Any", gate), token=b"t", keyholder=cast("Any", None), principal="local:x", state=Path())

    def found() -> list[str]:
        findings = asyncio.run(doctor.policy_findings(door))
        assert {each.state for each in findings} <= {"warning"}
        return [each.name for each in findings]

    assert found() == ["relay", "postmaster"]
    run(gate, setting, "set", "relay_networks", "192.0.2.10/32")
    run(gate, setting, "set", "--domain", "inside.example", "postmaster", "eve@inside.example")
    assert found() == []
    gate.domains.clear()
    assert found() == ["postmaster"]


@pytest.mark.parametrize("out", ["there", "none/new", "letter.eml/new"])
def test_content_goes_to_a_new_file_only(gate: Gate, letter: str, out: str) -> None:
    folder = Path(letter).parent
    (folder / "there").touch()
    with pytest.raises(UsageError, match=r"--out writes a new file|cannot be written"):
        run(gate, queue, "show", str(uuid4()), "--content", "--out", str(folder / out))


def test_queue_states_are_named(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--in-state", "nonsense"), ("--state", "held")):
        with pytest.raises(SystemExit) as end:
            run(gate, queue, "list", *words)
        assert end.value.code == 2
    assert "held" in capsys.readouterr().err


@pytest.fixture
def letter(tmp_path: Path) -> str:
    path = tmp_path / "letter.eml"
    path.write_bytes(
        b"From: ann@inside.example\r\nTo: bob@partner.example\r\nSubject: [encrypt] the canary sings\r\n\r\nBody\r\n"
    )
    return str(path)


@pytest.mark.req("A6", "A8", "J3")
def test_explain(gate: Gate, letter: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = (letter, "--from", "ann@inside.example", "--to", "bob@partner.example", "ben@inside.example")
    assert run(gate, explain, *words) == 1
    told = capsys.readouterr().out
    assert "because subject_trigger = [encrypt] (factory)" in told
    assert "held: no-method" in told
    assert "ben@inside.example\n  direction: incoming, because locality = internal (domain inside.example)" in told
    assert "canary" not in told
    authority = Authority.create()
    gate.authorities = [(authority.certificate.public_bytes(Encoding.DER), True)]
    der = authority.issue("bob@partner.example").certificate.public_bytes(Encoding.DER)
    gate.candidates = [("bob@partner.example", uuid4(), der, None, None, False)]
    assert run(gate, explain, *words, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert [(each["recipients"], each["encrypted"]) for each in plan["deliveries"]] == [
        (["bob@partner.example"], True),
        (["ben@inside.example"], False),
    ]
    assert {step["what"] for step in plan["trace"]} >= {"trigger", "mode", "method", "chosen", "deliver"}


def test_explain_wrong_addresses(gate: Gate, letter: str) -> None:
    with pytest.raises(UsageError, match="not a valid e-mail address"):
        run(gate, explain, letter, "--from", "<>", "--to", "nobody")


def test_explain_of_a_file_that_is_not_there(gate: Gate, tmp_path: Path) -> None:
    for path in (tmp_path / "nope", tmp_path):
        with pytest.raises(UsageError, match=f"{path} cannot be read"):
            run(gate, explain, str(path), "--from", "<>", "--to", "a@b.example")
