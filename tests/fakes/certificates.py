"""The pki functions of the database and the keyholder's import, in memory: what the commands talk to.

Guarantees
    The same answers as the SQL functions for what the commands ask; every call checks the token.

See also
    ``database/sql/functions/pki``, ``pki/calls.py``.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from letterlock.database.errors import Denied
from letterlock.pki import calls
from letterlock.policy.calls import EffectiveValue, Organisation
from letterlock.vault.errors import KeyRefused

TOKEN = b"t" * 32


class FakeCertificates:
    """A door with its gate, its keyholder and its calls in one."""

    def __init__(self) -> None:
        self.token = TOKEN
        self.gate = self
        self.keyholder = self
        self.organisation = uuid4()
        self.rows: dict[UUID, dict[str, Any]] = {}
        self.anchors: set[UUID] = set()
        self.keys: dict[bytes, UUID] = {}
        self.refuse_keys = False
        self.waits: list[calls.Waiting] = []
        self.entries: list[calls.StoredCtlEntry] = []
        self.crls: list[calls.Crl] = []
        self.answers: list[calls.OcspAnswer] = []
        self.additional: list[str] = []

    async def import_key(self, token: bytes, organisation: UUID, pkcs8: bytes) -> UUID:
        """keyholder.import_key"""
        self._check(token)
        assert organisation == self.organisation
        if self.refuse_keys:
            raise KeyRefused("RSA keys have 2048 to 8192 bits here; this one has 1024.")
        return self.keys.setdefault(pkcs8, uuid4())

    async def organisations(self, _gate: object, *, token: bytes) -> list[Organisation]:
        """policy.organisations"""
        self._check(token)
        return [Organisation(self.organisation, "default")]

    async def import_certificate(self, _gate: object, **row: Any) -> calls.Imported:
        """pki.import_certificate"""
        self._check(row.pop("token"))
        assert row["organisation"] == self.organisation
        for id_, known in self.rows.items():
            if known["fingerprint"] == row["fingerprint"]:
                if row["key_id"] is None or known["key_id"] == row["key_id"]:
                    return calls.Imported("already", id_)
                known["key_id"] = row["key_id"]
                return calls.Imported("done", id_)
        self.rows[row["id"]] = row
        return calls.Imported("done", row["id"])

    async def list(self, _gate: object, *, token: bytes, address: str | None, max: int) -> list[Any]:  # noqa: A002 - named as in SQL
        """pki.list"""
        self._check(token)
        rows = [row for row in self.rows.values() if address is None or address in row["addresses"]]
        return [calls.ListedCertificate(*self._shown(row)) for row in rows[:max]]

    async def show(self, _gate: object, *, token: bytes, id: UUID | None, fingerprint: bytes | None) -> Any:  # noqa: A002 - named as in SQL
        """pki.show"""
        self._check(token)
        for row in self.rows.values():
            if (row["fingerprint"] == fingerprint) if fingerprint else (row["id"] == id):
                return calls.ShownCertificate(*self._shown(row), row["der"])
        return None

    async def add_anchor(self, _gate: object, *, token: bytes, id: UUID) -> str:  # noqa: A002 - named as in SQL
        """pki.add_anchor"""
        self._check(token)
        if id not in self.rows:
            return "not-found"
        answer = "already" if id in self.anchors else "done"
        self.anchors.add(id)
        return answer

    async def remove_anchor(self, _gate: object, *, token: bytes, id: UUID) -> str:  # noqa: A002 - named as in SQL
        """pki.remove_anchor"""
        self._check(token)
        if id not in self.anchors:
            return "not-found"
        self.anchors.remove(id)
        return "done"

    async def explain_candidates(self, _gate: object, *, token: bytes, addresses: Any) -> Any:
        """pki.explain_candidates"""
        self._check(token)
        return [
            calls.Candidate(address, row["id"], row["der"], row["key_id"])
            for address in addresses
            for row in self.rows.values()
            if address in row["addresses"]
        ]

    async def issued(self, _gate: object, *, token: bytes, **_: object) -> list[Any]:
        """ca.issued: no authority of ours"""
        self._check(token)
        return []

    async def explain_authorities(self, _gate: object, *, token: bytes) -> Any:
        """pki.explain_authorities"""
        self._check(token)
        return [
            calls.Authority(row["der"], id_ in self.anchors)
            for id_, row in self.rows.items()
            if row["is_ca"] or id_ in self.anchors
        ]

    async def explain_crls(self, _gate: object, *, token: bytes, **_: Any) -> list[calls.Crl]:
        """pki.explain_crls"""
        self._check(token)
        return self.crls

    async def explain_ocsp_answers(self, _gate: object, *, token: bytes, cert_ids: Any) -> list[calls.OcspAnswer]:
        """pki.explain_ocsp_answers"""
        self._check(token)
        return [each for each in self.answers if each.cert_id in cert_ids]

    async def find(self, _gate: object, *, token: bytes, prefix: bytes, max: int) -> list[UUID]:  # noqa: A002 - named as in SQL
        """pki.find"""
        self._check(token)

        def digests(row: dict[str, Any]) -> tuple[bytes, bytes]:
            return row["fingerprint"], hashlib.sha1(row["der"], usedforsecurity=False).digest()

        return [id_ for id_, row in self.rows.items() if any(d.startswith(prefix) for d in digests(row))][:max]

    async def waiting(self, _gate: object, *, token: bytes, address: str | None, max: int) -> list[calls.Waiting]:  # noqa: A002 - named as in SQL
        """pki.waiting"""
        self._check(token)
        return [each for each in self.waits if address is None or each.address == address][:max]

    async def explain(self, _gate: object, *, token: bytes, addresses: Any) -> list[EffectiveValue]:
        """policy.explain"""
        self._check(token)
        name = "smime_additional_certificates"
        return [EffectiveValue(each, name, self.additional, "gateway", "") for each in addresses if self.additional]

    async def tie(self, _gate: object, *, token: bytes, id: UUID, scope: str) -> str:  # noqa: A002 - named as in SQL
        """pki.tie"""
        self._check(token)
        self.rows[id]["addresses"] = [*self.rows[id]["addresses"], f"@{scope}"]
        return "done"

    async def delete(self, _gate: object, *, token: bytes, id: UUID, force: bool, reason: str | None) -> str:  # noqa: A002 - named as in SQL
        """pki.delete"""
        self._check(token)
        if self.rows[id]["key_id"] and not (force and reason):
            return "only-key"
        del self.rows[id]
        return "done"

    async def set_ctl_entry(self, _gate: object, **row: Any) -> tuple[str, UUID]:
        """pki.set_ctl_entry"""
        self._check(row.pop("token"))
        self.entries.append(calls.StoredCtlEntry(**row, author="local:root", created_at=datetime.now(UTC)))
        return "done", row["id"]

    async def explain_ctl_entries(self, _gate: object, *, token: bytes) -> list[calls.StoredCtlEntry]:
        """pki.explain_ctl_entries"""
        self._check(token)
        return self.entries

    async def remove_ctl_entry(self, _gate: object, *, token: bytes, id: UUID) -> str:  # noqa: A002 - named as in SQL
        """pki.remove_ctl_entry"""
        self._check(token)
        left = [each for each in self.entries if each.id != id]
        answer = "not-found" if len(left) == len(self.entries) else "done"
        self.entries = left
        return answer

    def _check(self, token: bytes) -> None:
        if token != TOKEN:
            raise Denied

    def _shown(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return (
            row["id"],
            row["organisation"],
            row["fingerprint"],
            row["subject"],
            row["issuer"],
            [*row["addresses"]],
            row["is_ca"],
            row["id"] in self.anchors,
            row["not_before"],
            row["not_after"],
            row["key_id"],
            "local:root",
            datetime.now(UTC),
        )
