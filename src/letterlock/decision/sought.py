"""Whose certificates a message to an address may be encrypted to, and how strictly they are asked about revocation.

Guarantees
    Pure. What is sought under one key and one mode is one selection, whoever it is for.

See also
    ``facts.py``, which reads them; ``pki/scopes.py`` for the keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from letterlock.decision.known import AUTHORITY
from letterlock.decision.terms import Terms
from letterlock.pki import scopes
from letterlock.pki.certificate import match_form
from letterlock.pki.revocation import Mode


class Sought(NamedTuple):
    """Certificates kept under ``key``. ``mode``: what becomes of one that may have been revoked."""

    key: str
    mode: Mode


def everything(address: str, terms: Terms) -> Iterator[Sought]:
    """All that is sought for mail to ``address``."""
    yield from personal(address, terms)
    yield from domain_wide(address, terms)
    yield from additional(terms).values()


def personal(address: str, terms: Terms) -> list[Sought]:
    """Its own certificates."""
    return [Sought(each.key, terms.revocation) for each in scopes.personal(address)]


def domain_wide(address: str, terms: Terms) -> list[Sought]:
    """Those of its domain; none when the method is not used."""
    if "smime-domain" not in terms.methods.value:
        return []
    return [Sought(each.key, terms.revocation) for each in scopes.domain_wide(address, AUTHORITY)]


def additional(terms: Terms) -> dict[str, Sought]:
    """Those of the additional addresses, by address."""
    return {each: Sought(match_form(each) or each, terms.revocation) for each in terms.additional.value}
