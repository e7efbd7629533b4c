"""One wanted thing, from taken to answered: who is asked, what is made of the answer, what is stored.

Guarantees
    Whatever happens ends in one of the four answers, and nothing but cancelling leaves ``answer``. What is stored is
    what was taken: the database lets nothing else in. Certificates are candidates with their origin, trusted by nothing
    here; CRLs and OCSP answers are kept unjudged, with their times.

Raises
    What the database calls raise.

See also
    ``http.py``, ``ldap.py``, ``dns.py``; ``schedule.py`` (when again); ``pki/fetched.py`` (what came).
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote

from letterlock.config.start import Meter
from letterlock.database.connect import Gate
from letterlock.errors import LetterlockError
from letterlock.fetch import dns, http, ldap, schedule
from letterlock.fetch.errors import FetchAbsent, FetchFailed, FetchRefused, HostUnreachable
from letterlock.fetch.reach import Reach
from letterlock.pki import calls, fetched, url
from letterlock.pki.calls import Taken
from letterlock.pki.certificate import Certificate
from letterlock.pki.fetched import NONCE_OCTETS, NotUseful
from letterlock.pki.url import Url
from letterlock.pki.wanted import Kind
from letterlock.telemetry.events import emit
from letterlock.vault.keys import new_id

MAX_CRL: Final = 20 << 20
MAX_OTHER: Final = 256 << 10
RETRY_WITHOUT_NONCE: Final = 255
"""Octets of a request that may be asked by GET (RFC 6960 A.1)."""

_log = logging.getLogger("letterlock.fetch")


@dataclass(frozen=True)
class Means:
    """What fetching needs: addresses that may be reached, our own directories, our resolver, how often CRLs are."""

    reach: Reach = field(default_factory=Reach)
    directories: Sequence[Url] = ()
    secrets: dict[str, ldap.Secret] = field(default_factory=dict, repr=False)
    resolver: str = ""
    crl_interval: timedelta = timedelta(hours=12)


class Fetcher:
    """Fetches and stores. ``means`` may be replaced between two things."""

    def __init__(self, gate: Gate, meter: Meter, means: Means, clock: Callable[[], float] = time.time) -> None:
        self._gate = gate
        self._meter = meter
        self._clock = clock
        self.means = means

    async def answer(self, taken: Taken) -> str:
        """Fetch one thing and store it; the answer. Raises what the database raises."""
        started = time.perf_counter()
        failed: LetterlockError | None = None
        answer = "found"
        try:
            await _FETCH[cast(Kind, taken.kind)](self, taken)
        except (FetchRefused, url.UrlRefused) as error:
            answer, failed = "refused", error
        except FetchAbsent as error:
            answer, failed = "absent", error
        except (FetchFailed, NotUseful) as error:
            answer, failed = "failed", error
        if failed is not None:
            await self._nothing(taken, answer, failed)
        seconds = time.perf_counter() - started
        emit.fetched(kind=taken.kind, domain=taken.host, state=answer, seconds=seconds)
        if answer in ("failed", "refused"):
            _log.warning("%s of %s: %s", taken.kind, taken.host or "our own", failed)
        self._meter("letterlock_fetched_total", 1, {"kind": taken.kind, "answer": answer})
        self._meter("letterlock_fetch_seconds", seconds, {})
        return answer

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    async def _nothing(self, taken: Taken, answer: str, error: LetterlockError) -> None:
        """Say that nothing came, and when it is tried again."""
        now = self._now()
        times = {
            "refused": schedule.refused(now),
            "absent": schedule.absent(now),
            "failed": schedule.failed(now, taken.failures),
        }[answer]
        if taken.kind != "crl":  # only CRLs are tried again by themselves, the others when somebody asks
            times = schedule.Times(schedule.FAR, times.good_until)
        host = schedule.host_until(now, taken.failures) if isinstance(error, HostUnreachable) else None
        await calls.answer_wanted(
            self._gate, **_answered(taken, times), answer=answer, host_until=host if taken.host else None
        )

    async def crl(self, taken: Taken) -> None:
        """A CRL, by HTTP or LDAP."""
        where = url.parse(taken.name)
        if where.scheme.startswith("http"):
            bodies = [await http.get(self.means.reach, where, most=MAX_CRL, accept="application/pkix-crl, */*;q=0.1")]
        else:
            bodies = await ldap.search(self.means.reach, where, ldap.of_url(where, "crl"), most=MAX_CRL)
        found = [await asyncio.to_thread(fetched.read_crl, each) for each in bodies[:4]]
        spans = [(each.this_update, each.next_update) for each in found]
        times = schedule.crl(self._now(), spans, self.means.crl_interval)
        await calls.store_crls(
            self._gate,
            **_answered(taken, times),
            ders=[each.der for each in found],
            issuers=[each.issuer for each in found],
            issuer_key_ids=[each.issuer_key_id for each in found],
            is_delta=[each.is_delta for each in found],
            this_update=[each.this_update for each in found],
            next_update=[each.next_update for each in found],
        )

    async def ocsp(self, taken: Taken) -> None:
        """An OCSP answer: by POST with a nonce; from a responder that knows none, by GET (RFC 5019 5)."""
        where = url.parse(taken.name)
        if not where.scheme.startswith("http"):  # RFC 6960 A.1
            raise FetchRefused(detail=f"OCSP by {where.scheme}")
        nonce = secrets.token_bytes(NONCE_OCTETS)
        accept = "application/ocsp-response"
        try:
            body = await http.post(
                self.means.reach,
                where,
                fetched.ocsp_request(taken.about, nonce),
                most=MAX_OTHER,
                kind="application/ocsp-request",
                accept=accept,
            )
            found = fetched.read_ocsp(body, taken.about, nonce)
        except HostUnreachable:
            raise
        except (FetchFailed, NotUseful):
            plain = fetched.ocsp_request(taken.about)
            if len(plain) > RETRY_WITHOUT_NONCE:
                raise
            text = quote(base64.b64encode(plain).decode(), safe="")
            asked = where._replace(rest=f"{where.rest.rstrip('/')}/{text}")
            found = fetched.read_ocsp(
                await http.get(self.means.reach, asked, most=MAX_OTHER, accept=accept), taken.about
            )
        await calls.store_ocsp_answer(
            self._gate,
            **_answered(taken, schedule.ocsp(self._now(), found.next_update)),
            der=found.der,
            this_update=found.this_update,
            next_update=found.next_update,
        )

    async def issuer(self, taken: Taken) -> None:
        """The certificates of an issuer, by HTTP or LDAP."""
        where = url.parse(taken.name)
        if where.scheme.startswith("http"):
            body = await http.get(self.means.reach, where, most=MAX_OTHER)
            found = fetched.read_certificates(body, authorities=True)
        else:
            values = await ldap.search(self.means.reach, where, ldap.of_url(where, "issuer"), most=MAX_OTHER)
            found = fetched.chosen(fetched.parse_all(values), authorities=True)
        await self._store(taken, found, schedule.ISSUER_FOR)

    async def directory(self, taken: Taken) -> None:
        """Certificates of an address, of all our directories."""
        if not self.means.directories:
            raise FetchAbsent(detail="no directory is set")
        answers = await asyncio.gather(
            *(self._in_directory(where, taken.name) for where in self.means.directories), return_exceptions=True
        )
        found: list[Certificate] = []
        troubles: list[BaseException] = []
        for each in answers:
            if isinstance(each, BaseException):
                troubles.append(each)
            else:
                found += each
        if not found:
            raise next((each for each in troubles if not isinstance(each, FetchAbsent)), FetchAbsent())
        await self._store(taken, fetched.chosen(found, authorities=False), schedule.DIRECTORY_FOR)

    async def _in_directory(self, where: Url, address: str) -> list[Certificate]:
        secret = self.means.secrets.get(f"{where.host}:{where.port}")
        what = ldap.of_address(ldap.base_of(where), address)
        values = await ldap.search(self.means.reach, where, what, most=MAX_OTHER, secret=secret)
        found: list[Certificate] = []
        for each in values:  # a certificate, or the P7B of a userSMIMECertificate (RFC 2798 2.8)
            try:
                found += fetched.read_certificates(each, authorities=False)
            except NotUseful:
                continue
        return found

    async def smimea(self, taken: Taken) -> None:
        """Certificates of an address, of its domain's signed zone."""
        found = await dns.smimea(taken.name, dns.resolver_of(self.means.resolver))
        both = [*found.certificates, *found.authorities][: fetched.MAX_CERTIFICATES]
        await self._store(taken, both, timedelta(seconds=found.ttl))

    async def _store(self, taken: Taken, found: Sequence[Certificate], span: timedelta) -> None:
        await calls.store_certificates(
            self._gate,
            **_answered(taken, schedule.found(self._now(), span)),
            ids=[new_id() for _ in found],
            ders=[each.der for each in found],
            is_ca=[each.is_authority for each in found],
            not_after=[each.not_after for each in found],
        )


def _answered(taken: Taken, times: schedule.Times) -> Any:
    return {"digest": taken.digest, "lease": taken.lease, "due_at": times.due_at, "good_until": times.good_until}


_FETCH: Final = {
    "crl": Fetcher.crl,
    "ocsp": Fetcher.ocsp,
    "issuer": Fetcher.issuer,
    "directory": Fetcher.directory,
    "smimea": Fetcher.smimea,
}
