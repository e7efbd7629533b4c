"""The trace says which setting, from which level, which certificate and why not the others; and nothing of the
content."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import letterlock.decision
import letterlock.flow
from letterlock.decision import trace
from letterlock.decision.decide import decide
from letterlock.decision.known import Findings, Opened
from letterlock.pki.reasons import Reason
from tests.fakes.facts import candidate, envelope, facts, message, recipient, rejected, sender, usable

BOB, CARL = "bob@partner.example", "carl@partner.example"


def decided() -> trace.Trace:
    by = sender(encrypt_mode="mandatory", smime_sign=True)
    to = [
        recipient(BOB, by, personal=usable(BOB)),
        recipient(CARL, by, personal=rejected(CARL, Reason.EXPIRED, Reason.UNTRUSTED)),
    ]
    about = message([BOB], subject="[encrypt] the canary sings", fields=[("Sensitivity", "company-confidential")])
    given = facts(by, to, about)
    return decide(envelope(by, given.recipients), Opened(), Findings(), given).trace


@pytest.mark.req("A7", "B4")
def test_it_explains() -> None:
    lines = "\n".join(trace.render(decided()))
    assert "decided 2027-01-15T08:00:01Z under policy revision 7" in lines
    assert "a trigger asks: encrypt, at the subject's start, because subject_trigger = [encrypt] (factory)" in lines
    assert "a trigger asks: encrypt, by field sensitivity" in lines
    assert "encryption: mandatory, because encrypt_mode = mandatory (user ann@inside.example)" in lines
    chosen = candidate(BOB).certificate.thumbprint.hex()[:16]
    assert f"encrypted to ({chosen})" in lines
    other = candidate(CARL, number=9).certificate.thumbprint.hex()[:16]
    assert f"certificate not used: expired, untrusted ({other})" in lines
    assert "held: no-method, because hold_life = 5d (factory)" in lines
    assert "named neither in To nor Cc" not in lines.partition(CARL)[0]
    assert "delivered as signed and encrypted (aes256-cbc, rsa-pkcs1)" in lines


def test_no_content_in_it() -> None:
    assert b"canary" not in trace.encode(decided())


def test_it_reads_back() -> None:
    assert trace.decode(trace.encode(decided())) == decided()


def test_every_step_is_in_the_closed_list() -> None:
    folders = [Path(each.__file__).parent for each in (letterlock.decision, letterlock.flow) if each.__file__]
    used = set()
    for file in (file for folder in folders for file in folder.glob("*.py")):
        text = file.read_text()
        used |= set(re.findall(r'\bStep\(\s*"([a-z]+)"', text))
        used |= set(re.findall(r'\b(?:by_setting|certificates)\(\s*"([a-z]+)"', text))
    assert used == set(trace.WHAT)
