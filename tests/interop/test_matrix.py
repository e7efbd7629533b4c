"""Every peer of ``matrix.py``, every form of ``forms.py``, both directions: tried, and as the table says.

Guarantees
    A cell that is ok works: the peer finds our content, or we find the peer's, with the algorithms of the form. A cell
    that is refused is refused, in the words that the table knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.interop.forms import FORMS, Form, expected, ours
from tests.interop.matrix import DIRECTIONS, RULES, TRIED, Direction, branch, cell, states
from tests.interop.peers.gnutls import GnuTls
from tests.interop.peers.gpgsm import Gpgsm
from tests.interop.peers.libraries import bouncycastle, pkijs
from tests.interop.peers.nss import Nss
from tests.interop.peers.openssl import OpenSSL
from tests.interop.peers.peer import Peer, Refused
from tests.interop.reading import NotRead, certificates_in, found, wanted

pytestmark = [pytest.mark.peer, pytest.mark.slow]

MAKERS: dict[str, Callable[[], Peer]] = {
    "openssl": OpenSSL,
    "gpgsm": Gpgsm,
    "NSS": Nss,
    "GnuTLS": GnuTls,
    "BouncyCastle": bouncycastle,
    "PKI.js": pkijs,
}
CELLS = [
    pytest.param(name, direction, form, id=f"{name} {direction} {form.name}")
    for name in RULES
    for direction in DIRECTIONS
    for form in FORMS
    if cell(name, direction, form).state != "n/a"
]


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, Peer]]:
    """Those that were asked for so far; each is made once."""
    made: dict[str, Peer] = {}
    yield made
    for each in made.values():
        each.close()


def peer_of(peers: dict[str, Peer], name: str) -> Peer:
    """The peer, made when it is first asked for."""
    if name not in peers:
        peers[name] = MAKERS[name]()
    return peers[name]


def attempt(peer: Peer, direction: Direction, form: Form) -> None:
    """Raises Refused or NotRead; AssertionError when something else was found than was written."""
    if direction == "reads":
        assert peer.reads(form, ours(form)) == expected(form)
    elif form.kind == "certificates":
        assert certificates_in(peer.writes(form)) == expected(form)
    else:
        demanded = wanted(form)._replace(**({"cipher": ""} if peer.chooses_cipher else {}))
        for each in found(form, peer.writes(form), demanded):
            assert each == demanded


@pytest.mark.req("B1", "B8", "B16")
@pytest.mark.parametrize(("name", "direction", "form"), CELLS)
def test_cell(
    peers: dict[str, Peer], name: str, direction: Direction, form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = peer_of(peers, name)
    version = peer.version()
    demanded = cell(name, direction, form)
    right = states(name, version, demanded)
    try:
        attempt(peer, direction, form)
    except (Refused, NotRead) as refusal:
        assert "refused" in right, refusal
        assert branch(version) not in map(branch, TRIED[name]) or re.search(demanded.says, str(refusal)), (
            f"refused, but not because {demanded.reason}: {refusal}"
        )
    else:
        assert "ok" in right, f"{name} {version} has learned it: say so in tests/interop/matrix.py"
        if demanded.state == "refused":
            with capsys.disabled():
                print(f"\n{name} {version} {direction} {form.name}: learned; enter it into tests/interop/matrix.py")


@pytest.mark.req("B16")
@pytest.mark.parametrize("name", list(RULES))
def test_version_is_told(peers: dict[str, Peer], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Another version than those of the document is no fault; it is only said."""
    version = peer_of(peers, name).version()
    assert branch(version) >= branch(TRIED[name][0]), "older than all that were tried"
    if version not in TRIED[name]:
        with capsys.disabled():
            print(f"\n{name} {version}: docs/interop.md was made with {' and '.join(TRIED[name])}")


@pytest.mark.req("B16")
@pytest.mark.parametrize("name", list(RULES))
def test_every_rule_is_used(name: str) -> None:
    for direction in DIRECTIONS:
        for pattern, rule in RULES[name][direction]:
            used = [form.name for form in FORMS if cell(name, direction, form) is rule]
            assert used, f"{name} {direction}: {pattern}"
