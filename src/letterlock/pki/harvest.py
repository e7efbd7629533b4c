"""Harvest: which certificates of a signed message are worth keeping, to encrypt to its author later.

Guarantees
    Pure. The caller hands over signers whose signature fits, whose path held and whose certificate names the author; of
    what they brought only those certificates are taken that name the author too, hold for encryption on a path to one of
    our anchors at this moment, are no authority's, and are not signed with a broken hash anywhere on that path.
    At most MOST of one message: a stranger does not fill the store.

Standards
    RFC 8551 2.5.2 (SMIMECapabilities) and 2.5.3 (an author may have other keys for encryption: they come along in the
    message, so every certificate it brings is looked at, not the signer's alone).

See also
    ``flow/harvest.py`` (asks the database to keep them), ``database/sql/functions/pki/harvest.sql``; decision 0015.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from letterlock.pki.certificate import Certificate
from letterlock.pki.revocation import Mode
from letterlock.pki.trust import Trust

MOST: Final = 4
_BROKEN: Final = frozenset({"md5", "sha1", "unknown"})  # RFC 8550 4.3 and appendix B: historic
MOST_ADDRESSES: Final = 20  # of a certificate


class Signed(NamedTuple):
    """A good signer of a message. ``capabilities``: names as announced under the signature, None when it says nothing;
    ``preferred``: the certificate that it asks to be written to with, if it brought that."""

    certificate: Certificate
    capabilities: frozenset[str] | None
    signed_at: datetime | None
    preferred: Certificate | None = None


class Found(NamedTuple):
    """A certificate to keep for ``address``, the author's (match form). ``preferred``: it wants to be written to with
    this one."""

    address: str
    certificate: Certificate
    capabilities: frozenset[str] | None
    signed_at: datetime | None
    preferred: bool = False


def harvest(
    author: str,
    signers: Sequence[Signed],
    brought: Iterable[Certificate],
    trust: Trust,
    at: datetime,
    revocation: Mode = "none",
) -> tuple[Found, ...]:
    """What to keep of one message. ``author``: match form, "" when there is none; ``at``: aware."""
    if not author or not signers:
        return ()
    others = tuple(dict.fromkeys(brought))
    good = next((each for each in signers if author in each.certificate.addresses), None)
    if good is None:
        return ()
    found: list[Found] = []
    wanted = [] if good.preferred is None else [good.preferred]
    for each in dict.fromkeys((*wanted, good.certificate, *others)):
        if len(found) == MOST:
            break
        if author not in each.addresses or each.is_authority or len(each.addresses) > MOST_ADDRESSES:
            continue
        verdict = trust.verdict(each, at, "encrypt", others, revocation)
        # The anchor's own signature proves nothing and is not looked at.
        if verdict.ok and not any(one.digest in _BROKEN for one in (each, *verdict.path[:-1])):
            found.append(Found(author, each, good.capabilities, good.signed_at, each == good.preferred))
    return tuple(found)
