"""The challenge mail of RFC 8823 and the reply to it: pure, without a look at who sent it.

Guarantees
    A subject counts only in the form the standard gives it, with a token of 128 bits at least. The reply needs both parts
    of the token; the second one came from the server over TLS. So the reply to a forged mail proves nothing, and tells
    its reader nothing.
    What is put into the reply's header is printable ASCII without blanks, or an address that was parsed.

Standards
    RFC 8823 3.1 (challenge mail), 3.2 (response); RFC 8555 8.1 (key authorisation); RFC 7638 3 (thumbprint), RFC 7518 6.2.

Raises
    NoChallenge.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from letterlock.pki.ca.errors import AuthorityError

LEAST_TOKEN: Final = 22
"""Characters of base64url for 128 bits (RFC 8823 3.1)."""

_SUBJECT = re.compile(r"ACME:\s*([A-Za-z0-9_-]{1,256}(?:\s+[A-Za-z0-9_-]{1,256})*)\Z")
TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{LEAST_TOKEN},512}}\Z")


class NoChallenge(AuthorityError):
    """No challenge like this one is awaited."""


class ChallengeMail(NamedTuple):
    """What is needed of a mail to answer it. ``reply_to`` empty: its author."""

    author: str
    subject: str
    message_id: str
    reply_to: str = ""


class Reply(NamedTuple):
    """The mail to send from the address that is to be certified."""

    to: str
    subject: str
    in_reply_to: str
    text: str


def b64(octets: bytes) -> str:
    """Base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def jwk(spki: bytes) -> dict[str, str]:
    """A public key on P-256 as JWK. Raises NoChallenge for another kind."""
    public = load_der_public_key(spki)
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise NoChallenge("An account's key is on P-256.")
    numbers = public.public_numbers()
    x, y = (b64(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def thumbprint(key: dict[str, str]) -> str:
    """RFC 7638 3: SHA-256 over the required members, sorted, without blanks."""
    text = json.dumps({name: key[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(text.encode()).digest())


def first_part(subject: str) -> str:
    """The token's first part in a decoded subject; empty when it is none of a challenge mail."""
    found = _SUBJECT.match(subject.strip())
    first = "".join(found[1].split()) if found else ""  # RFC 8823 3.1: folding may have put blanks into the token
    return first if TOKEN.match(first) else ""


def reply(mail: ChallengeMail, second: str, key: dict[str, str]) -> Reply:
    """The answer to a challenge mail. ``second``: the token's other part; ``key``: of the account, as JWK."""
    first = first_part(mail.subject)
    if not first:
        raise NoChallenge
    digest = b64(hashlib.sha256(f"{first}{second}.{thumbprint(key)}".encode()).digest())
    text = f"-----BEGIN ACME RESPONSE-----\r\n{digest}\r\n-----END ACME RESPONSE-----\r\n"
    return Reply(mail.reply_to or mail.author, f"Re: ACME: {first}", mail.message_id, text)
