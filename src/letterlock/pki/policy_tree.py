"""Certificate policies along a path: RFC 5280 6.1 with the graph of RFC 9618 in place of the tree.

Guarantees
    Cost grows with the number of policies and mappings, not with their product over the depth: one node for each policy
    and depth (RFC 9618 3), so a path made to grow a tree exponentially costs what it weighs (CVE-2023-0464).
    More than MAX_POLICIES policies or mappings in one certificate are refused, never passed over.

Standards
    RFC 5280 6.1.2 to 6.1.5, 4.2.1.4, 4.2.1.5, 4.2.1.11, 4.2.1.14; RFC 9618 5.

See also
    ``path.py``, which asks after OpenSSL has accepted the rest of the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509

from letterlock.asn1 import ber, oid
from letterlock.pki.certificate import Certificate

ANY_POLICY: Final = "2.5.29.32.0"
MAX_POLICIES: Final = 500

_POLICY_MAPPINGS = "2.5.29.33"


class PolicyRules(NamedTuple):
    """What the one who asks wants (RFC 5280 6.1.1 (c), (e), (f), (g)). ``initial``: empty for any policy."""

    initial: frozenset[str] = frozenset()
    explicit: bool = False
    inhibit_mapping: bool = False
    inhibit_any: bool = False


ANY_RULES: Final = PolicyRules()


class _Said(NamedTuple):
    """What one certificate says. ``policies`` None: no such extension. ``refused``: why it cannot be followed."""

    policies: frozenset[str] | None = None
    mappings: tuple[tuple[str, frozenset[str]], ...] = ()
    require_explicit: int | None = None
    inhibit_mapping: int | None = None
    inhibit_any: int | None = None
    refused: str = ""


class _Node:
    """A policy at one depth of the graph. ``above``: the policies of its parents, one level up."""

    __slots__ = ("above", "expected")

    def __init__(self, expected: frozenset[str], above: set[str]) -> None:
        self.expected = expected
        self.above = above


_Level = dict[str, _Node]


def fault(path: Sequence[Certificate], rules: PolicyRules = ANY_RULES) -> str:
    """What is wrong with the policies of a path, for the administrator; "" when nothing is.

    ``path``: from the certificate to the anchor, which takes no part itself.
    """
    said = [_said(each) for each in reversed(path[:-1])] if len(path) > 1 else []
    for each in said:
        if each.refused:
            return each.refused
    if not rules.explicit and all(each.require_explicit is None and not each.mappings for each in said):
        return ""  # nothing can ask for an explicit policy: an empty graph is no fault (6.1.5)
    return _Walk(len(said), rules).fault(said, [each.is_self_issued for each in reversed(path[:-1])])


class _Walk:
    """The state variables of RFC 5280 6.1.2, and the graph."""

    def __init__(self, length: int, rules: PolicyRules) -> None:
        self._initial = rules.initial or frozenset((ANY_POLICY,))
        self._explicit = 0 if rules.explicit else length + 1
        self._mapping = 0 if rules.inhibit_mapping else length + 1
        self._any = 0 if rules.inhibit_any else length + 1
        self._levels: list[_Level] = [{ANY_POLICY: _Node(frozenset((ANY_POLICY,)), set())}]  # empty list: NULL

    def fault(self, said: Sequence[_Said], self_issued: Sequence[bool]) -> str:
        for number, each in enumerate(said):
            last = number == len(said) - 1
            self._add_level(each, may_any=self._any > 0 or (not last and self_issued[number]))
            if self._explicit <= 0 and not self._levels:  # 6.1.3 (f)
                return f"no policy is left at certificate {len(said) - 1 - number}"
            if last:
                self._wrap_up(each)
            else:
                problem = self._prepare(each, self_issued[number])
                if problem:
                    return problem
        if self._explicit > 0 or (self._levels and self._agrees()):
            return ""
        return "none of the path's policies is one asked for"

    def _add_level(self, said: _Said, *, may_any: bool) -> None:
        """6.1.3 (d) and (e), as RFC 9618 5.2 has them."""
        if said.policies is None:
            self._levels = []
        if not self._levels or said.policies is None:
            return
        above = self._levels[-1]
        expecting: dict[str, set[str]] = {}
        for policy, node in above.items():
            for each in node.expected:
                expecting.setdefault(each, set()).add(policy)
        level: _Level = {}
        for policy in said.policies - {ANY_POLICY}:
            if policy in expecting:  # (d)(1)(i)
                level[policy] = _Node(frozenset((policy,)), expecting[policy])
            elif ANY_POLICY in above:  # (d)(1)(ii)
                level[policy] = _Node(frozenset((policy,)), {ANY_POLICY})
        if ANY_POLICY in said.policies and may_any:  # (d)(2)
            for policy, parents in expecting.items():
                if policy not in level:
                    level[policy] = _Node(frozenset((policy,)), parents)
        self._levels.append(level)
        self._prune()

    def _prune(self) -> None:
        """(d)(3): nodes without children go, from the deepest level up; a graph without leaves is NULL."""
        if not self._levels[-1]:
            self._levels = []
            return
        for below, level in zip(reversed(self._levels), reversed(self._levels[:-1]), strict=False):
            used = set().union(*(node.above for node in below.values()))
            for policy in level.keys() - used:
                del level[policy]

    def _prepare(self, said: _Said, self_issued: bool) -> str:
        """6.1.4 (a), (b), (h), (i), (j)."""
        for source, targets in said.mappings:
            if source == ANY_POLICY or ANY_POLICY in targets:
                return "a certificate maps from or to anyPolicy"
        if said.mappings and self._levels:
            self._map(said.mappings)
        if not self_issued:
            self._explicit, self._mapping, self._any = self._explicit - 1, self._mapping - 1, self._any - 1
        self._explicit = _least(self._explicit, said.require_explicit)
        self._mapping = _least(self._mapping, said.inhibit_mapping)
        self._any = _least(self._any, said.inhibit_any)
        return ""

    def _map(self, mappings: tuple[tuple[str, frozenset[str]], ...]) -> None:
        """6.1.4 (b): policies of the issuer become those of the subject, or end here."""
        level = self._levels[-1]
        for source, targets in mappings:
            if self._mapping > 0:
                if source in level:
                    level[source].expected = targets
                elif ANY_POLICY in level:
                    level[source] = _Node(targets, set(level[ANY_POLICY].above))
            else:
                level.pop(source, None)
        self._prune()

    def _wrap_up(self, said: _Said) -> None:
        """6.1.5 (a) and (b)."""
        self._explicit -= 1
        if said.require_explicit == 0:
            self._explicit = 0

    def _agrees(self) -> bool:
        """6.1.5 (g): the policies under anyPolicy, those of the anchor's own naming, share one with those asked for."""
        if ANY_POLICY in self._initial or ANY_POLICY in self._levels[-1]:
            return True
        return any(
            policy in self._initial and ANY_POLICY in node.above
            for level in self._levels[1:]
            for policy, node in level.items()
        )


def _least(now: int, said: int | None) -> int:
    return now if said is None else min(now, said)


@lru_cache(maxsize=4096)
def _said(certificate: Certificate) -> _Said:
    """What the certificate says about policies."""
    policies: frozenset[str] | None = None
    mappings: dict[str, set[str]] = {}
    explicit = mapping = any_skip = None
    for extension in certificate.parsed.extensions:
        value = extension.value
        if isinstance(value, x509.CertificatePolicies):
            if len(value) > MAX_POLICIES:
                return _Said(refused=f"a certificate names {len(value)} policies; {MAX_POLICIES} are read")
            policies = frozenset(each.policy_identifier.dotted_string for each in value)
        elif isinstance(value, x509.PolicyConstraints):
            explicit, mapping = value.require_explicit_policy, value.inhibit_policy_mapping
        elif isinstance(value, x509.InhibitAnyPolicy):
            any_skip = value.skip_certs
        elif extension.oid.dotted_string == _POLICY_MAPPINGS:
            try:
                pairs = [pair.children() for pair in ber.single(value.public_bytes()).children()]
                if len(pairs) > MAX_POLICIES:
                    return _Said(refused=f"a certificate maps {len(pairs)} policies; {MAX_POLICIES} are read")
                for source, target in pairs:
                    mappings.setdefault(oid.dotted(source.raw), set()).add(oid.dotted(target.raw))
            except (ber.BerError, ValueError):
                return _Said(refused="the policy mappings of a certificate cannot be read")
    pairs_kept = tuple((source, frozenset(targets)) for source, targets in mappings.items())
    return _Said(policies, pairs_kept, explicit, mapping, any_skip)
