"""What everybody may fetch: /crl/LABEL.crl, /ca/LABEL.crt, and OCSP answers at /ocsp.

Guarantees
    Everything here was signed before and is only read: no key, no session, no token. An OCSP request is looked at for
    the certificate it asks about and for nothing else; about a certificate we did not give out the answer is
    "unauthorized", unsigned, as for one whose answer is not made yet.

Standards
    RFC 6960 2.3 (errors), A.1 (GET and POST), RFC 5019 2.1, 5 and 6.2 (answers made ahead, caching), RFC 5280 4.2.1.13
    and 4.2.2.1 (one DER list or certificate), RFC 2585 4 (media types).

See also
    ``pki/ca/publish.py``, which makes what is served; ``http.py``.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote_to_bytes

from letterlock.admin.http import Answer, Asked
from letterlock.database.connect import Gate
from letterlock.errors import LetterlockError
from letterlock.mail.compose import date
from letterlock.pki.ca import calls
from letterlock.pki.ca.asked import QuestionUnreadable, question

_LABELLED = re.compile(r"/(crl|ca)/([0-9a-f]{12})\.(crl|crt)\Z")
_OCSP = "/ocsp"

OCSP_REQUEST, OCSP_RESPONSE = "application/ocsp-request", "application/ocsp-response"
MALFORMED = bytes.fromhex("30030a0101")  # OCSPResponse of responseStatus malformedRequest (RFC 6960 4.2.1)
TRY_LATER = bytes.fromhex("30030a0103")
UNAUTHORIZED = bytes.fromhex("30030a0106")

HOUR = 3600


class PublicPages:
    """The documents, over a Gate of the role ll_admin."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, asked: Asked) -> Answer:
        """Answer one request."""
        if asked.path == _OCSP or asked.path.startswith(f"{_OCSP}/"):
            return await self._ocsp(asked)
        found = _LABELLED.match(asked.path)
        if asked.method != "GET":
            return Answer(405)
        if found is None:
            return Answer(404)
        try:
            return await (self._list(found[2]) if found[1] == "crl" else self._certificate(found[2]))
        except LetterlockError:
            return Answer(503)

    async def _list(self, label: str) -> Answer:
        found = await calls.published_list(self._gate, label=label)
        if found is None:
            return Answer(404)
        return Answer(200, "application/pkix-crl", found[0], _cached(HOUR, found[1]))

    async def _certificate(self, label: str) -> Answer:
        found = await calls.published_certificate(self._gate, label=label)
        if found is None:
            return Answer(404)
        return Answer(200, "application/pkix-cert", found, _cached(24 * HOUR))

    async def _ocsp(self, asked: Asked) -> Answer:
        try:
            octets = _request_octets(asked)
        except binascii.Error:
            return Answer(200, OCSP_RESPONSE, MALFORMED)
        if octets is None:
            return Answer(415 if asked.method == "POST" else 404)
        try:
            key_hash, number = question(octets)
            found = await calls.published_answer(self._gate, key_hash=key_hash, number=number)
        except QuestionUnreadable:
            return Answer(200, OCSP_RESPONSE, MALFORMED)
        except LetterlockError:
            return Answer(200, OCSP_RESPONSE, TRY_LATER)
        if found is None:
            return Answer(200, OCSP_RESPONSE, UNAUTHORIZED)
        return Answer(200, OCSP_RESPONSE, found, _cached(HOUR) if asked.method == "GET" else {})


def _request_octets(asked: Asked) -> bytes | None:
    """The OCSPRequest: the body, or base64 in the path (RFC 6960 A.1). None when there is none. Raises binascii.Error."""
    if asked.method == "POST":
        return asked.body if asked.kind == OCSP_REQUEST else None
    encoded = unquote_to_bytes(asked.path[len(_OCSP) + 1 :])
    return binascii.a2b_base64(encoded, strict_mode=True) if encoded else None


def _cached(seconds: int, until: datetime | None = None) -> Mapping[str, str]:
    fields = {"Cache-Control": f"max-age={seconds}, public, no-transform, must-revalidate"}
    return fields | ({"Expires": date(until.timestamp()).replace("+0000", "GMT")} if until else {})  # RFC 9110 5.6.7
