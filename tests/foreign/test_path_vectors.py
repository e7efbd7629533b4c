"""NIST PKITS and x509-limbo, put to `letterlock pki check --batch` as anybody could; the outcome is printed as a table.

Guarantees
    No invalid path of PKITS is accepted. What of x509-limbo is accepted though it should not be stands in BORNE, each
    with the reason, and nothing else is.

See also
    ``pki/case.py`` for what a case is; the vectors' own SOURCE.txt for where they come from.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("LETTERLOCK_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
PKITS, LIMBO = FOLDER / "pkits" / "cases.json", FOLDER / "x509-limbo" / "limbo.json.gz"

POLICIES = "2.16.840.1.101.3.2.1.48."
UNREADABLE = "Section1ValidDSAParameterInheritanceTest5"  # a DSA key without parameters: no library reads it now
BORNE = {
    "pathlen::max-chain-depth-0-exhausted": "a case of ours has no bound on depth; the path itself is valid",
    "pathlen::max-chain-depth-1-exhausted": "the same",
    "rfc5280::aki::cross-signed-root-missing-aki": "who else signed an anchor does not matter; cve-2024-0567 wants it so",
    "rfc5280::eku::ee-wrong-eku": "a web server is asked for; we know mail, and here ask for no purpose",
    "rfc5280::pc::ica-noncritical-pc": "PKITS 4.8.10 and twenty more want it borne",
    "rfc5280::serial::negative": "RFC 5280 4.1.2.2 and PKITS 4.4.14 want it borne",
    "rfc5280::ca-as-leaf-wrong-san": "a domain is asked for; we compare addresses",
}
WEB = ("webpki", "online")


def _pkits() -> list[tuple[dict[str, Any], bool]]:
    def octets(kind: str, names: list[str]) -> list[str]:
        ending = {"certs": ".crt", "crls": ".crl"}[kind]
        return [b64encode((PKITS.parent / kind / (each + ending)).read_bytes()).decode() for each in names]

    found = []
    for each in json.loads(PKITS.read_text()):
        anchor, *between, leaf = octets("certs", each["certs"])
        asked = [POLICIES + name.rpartition("-")[2] for name in each["initial_policy_set"] if name != "anyPolicy"]
        case = {
            "id": each["test"],
            "leaf": leaf,
            "intermediates": between,
            "anchors": [anchor],
            "crls": octets("crls", each["crls"]),
            "at": "2011-04-15T00:00:00Z",
            "purpose": "any",
            "revocation": "require",
            "initial_policies": asked,
            "explicit_policy": each["initial_explicit_policy"],
            "inhibit_policy_mapping": each["initial_policy_mapping_inhibit"],
            "inhibit_any_policy": each["initial_inhibit_any_policy"],
        }
        found.append((case, each["should_validate"]))
    return found


def _limbo() -> list[tuple[dict[str, Any], bool]]:
    def body(pem: str) -> str:
        return "".join(pem.split("-----")[2].split())

    found = []
    for each in json.loads(gzip.decompress(LIMBO.read_bytes()))["testcases"]:
        addresses = [name["value"] for name in each["expected_peer_names"] if name["kind"] == "RFC822"]
        case = {
            "id": each["id"],
            "leaf": body(each["peer_certificate"]),
            "intermediates": [body(pem) for pem in each["untrusted_intermediates"]],
            "anchors": [body(pem) for pem in each["trusted_certs"]],
            "crls": [body(pem) for pem in each["crls"]],
            "at": each["validation_time"] or "2026-11-27T00:00:00Z",
            "purpose": "any",
            "revocation": "require" if each["crls"] else "none",
            **({"address": addresses[0]} if addresses else {}),
        }
        found.append((case, each["expected_result"] == "SUCCESS"))
    return found


class Outcome:
    """The answers to a suite, beside what was wanted."""

    def __init__(self, cases: list[tuple[dict[str, Any], bool]]) -> None:
        self.wanted = {case["id"]: wanted for case, wanted in cases}
        self.got: dict[str, bool] = {}
        self.seconds: dict[str, float] = {}
        command = [sys.executable, "-m", "letterlock", "pki", "check", "--batch"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
            assert running.stdin is not None
            assert running.stdout is not None
            for case in [{"id": "waits for the start"}, *(case for case, _ in cases)]:
                began = time.monotonic()
                running.stdin.write(json.dumps(case).encode() + b"\n")
                running.stdin.flush()
                answer = json.loads(running.stdout.readline())
                assert set(answer) - {"detail"} == {"id", "ok", "reasons"}
                assert answer["id"] == case["id"]
                assert answer["ok"] is not bool(answer["reasons"])
                self.got[answer["id"]], self.seconds[answer["id"]] = answer["ok"], time.monotonic() - began
            running.stdin.close()
        self.seconds.pop("waits for the start")

    def wrong(self, *, accepted: bool) -> set[str]:
        return {name for name, wanted in self.wanted.items() if self.got[name] is accepted and wanted is not accepted}

    def table(self, title: str, among: list[str]) -> list[str]:
        """A line for each group and one for all."""
        groups = Counter(_group(name) for name in among)
        right = Counter(_group(name) for name in among if self.got[name] is self.wanted[name])
        rows = [f"  {group:<14}{right[group]:>5} of {count}" for group, count in sorted(groups.items())]
        slowest = max(self.seconds[name] for name in among) * 1000
        return [f"{title}: {sum(right.values())} of {len(among)} as expected, slowest {slowest:.0f} ms", *rows]


def _group(name: str) -> str:
    section = re.match(r"Section(\d+)", name)
    return f"section 4.{section[1]}" if section else name.split("::")[0]


if PKITS.exists() and LIMBO.exists():

    @pytest.mark.req("C1")
    @pytest.mark.req("C2")
    @pytest.mark.slow
    def test_pkits(capsys: pytest.CaptureFixture[str]) -> None:
        outcome = Outcome(_pkits())
        with capsys.disabled():
            print("", *outcome.table("NIST PKITS", [*outcome.wanted]), sep="\n")
        assert len(outcome.wanted) == 247
        assert outcome.wrong(accepted=True) == set()
        assert outcome.wrong(accepted=False) == {UNREADABLE}
        assert max(outcome.seconds.values()) < 2

    @pytest.mark.req("C1")
    @pytest.mark.slow
    def test_limbo(capsys: pytest.CaptureFixture[str]) -> None:
        outcome = Outcome(_limbo())
        among = [name for name in outcome.wanted if not name.startswith(WEB)]
        with capsys.disabled():
            print("", *outcome.table("x509-limbo", among), sep="\n")
            print(*(f"  accepted: {name}: {why}" for name, why in BORNE.items()), sep="\n")
        assert len(among) == 138
        assert {name for name in outcome.wrong(accepted=True) if name in among} == set(BORNE)
        assert not outcome.wrong(accepted=False) & set(among)
        assert max(outcome.seconds.values()) < 2
