"""ACME for mail certificates, without input or output: what to send next, what an answer means, what to mail.

States (of an Enrolment)
    directory  the server's addresses are asked for
    nonce      a first nonce is asked for
    account    the account is made or found; its address signs all that follows
    order      the order for the address is made
    challenge  its authorisation was fetched; the challenge mail is awaited, and answered by ``reply``
    proving    the server was told that the reply is on its way; the authorisation is looked at until it is valid
    finalise   the PKCS #10 request is sent, and the order looked at until it is valid
    download   the certificate is fetched
    done, failed

Guarantees
    The caller carries requests and answers; nothing here opens a connection, waits, or holds a key: what is to be signed
    goes through the seam ``Account``. Only https addresses are followed, and only of the directory's own host, so that
    an answer sends nobody elsewhere. A nonce is used once; a refused one (badNonce) is replaced, NONCE_TRIES times.
    A challenge mail counts only if it comes from the address the server named, with the token's first part in its
    subject; the key authorisation needs the second part, which only the server's own answer holds.
    An Enrolment can be put away and taken up again between any two steps (``plain``, ``restored``).

Standards
    RFC 8555 6 (requests, nonces, errors), 7 (account, order, finalise), 8.1 (key authorisation); RFC 8823 3 (email-
    reply-00: the challenge mail, the response); RFC 7515 (JWS), RFC 7638 (thumbprint), RFC 7518 3.4 (ES256).

Raises
    AcmeRefused: the server said no, or what it says cannot be followed.

See also
    ``challenge.py`` (the mails), ``drive.py`` (who carries), keyholder/jws.py (who signs).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from letterlock.pki.acme import challenge as mails
from letterlock.pki.acme.challenge import TOKEN, ChallengeMail, NoChallenge, Reply, b64
from letterlock.pki.ca.errors import AuthorityError

NONCE_TRIES: Final = 3
MOST_LOOKS: Final = 300
"""At one thing: a day and more, of five minutes each. Who carries says when it has taken too long."""
MOST_OCTETS: Final = 256 * 1024
_MADE_OF: Final = frozenset({"directory", "account", "address", "csr", "certificate"})
CHALLENGE: Final = "email-reply-00"
_JOSE: Final = "application/jose+json"


class AcmeRefused(AuthorityError):
    """The certificate authority elsewhere did not give the certificate."""


class ProofRefused(AcmeRefused):
    """The server did not accept the reply to its challenge mail."""


class Account(Protocol):
    """The account's key, on P-256, wherever it is."""

    def jwk(self) -> dict[str, str]:
        """Its public half: crv, kty, x, y (RFC 7518 6.2)."""
        ...

    async def sign(self, octets: bytes) -> bytes:
        """ECDSA with SHA-256 over ``octets``: r and s, 32 octets each (RFC 7518 3.4)."""
        ...


class HttpRequest(NamedTuple):
    """What to send. ``body`` empty: none."""

    method: str
    url: str
    kind: str = ""
    body: bytes = b""


class HttpAnswer(NamedTuple):
    """What came back. ``fields``: names in lower case."""

    code: int
    fields: dict[str, str]
    body: bytes


class Challenge(NamedTuple):
    """What the server waits for: a reply to the mail that comes from ``sender``."""

    sender: str
    token: str
    url: str


@dataclass
class Enrolment:
    """One certificate for one address. ``csr``: PKCS #10, DER; ``contact``: who answers for the account.

    ``agreed``: to the server's terms of service, by an administrator.
    """

    directory: str
    account: Account
    address: str
    csr: bytes
    contact: str
    agreed: bool = False
    state: str = "directory"
    challenge: Challenge | None = None
    certificate: bytes = b""
    _urls: dict[str, str] = field(default_factory=dict)
    _kid: str = ""
    _order: str = ""
    _authorisation: str = ""
    _finalise: str = ""
    _download: str = ""
    _nonce: str = ""
    _refused_nonces: int = 0
    _looks: int = 0
    _sent_csr: bool = False
    _told: bool = False

    async def request(self) -> HttpRequest | None:
        """What to send now; None when a mail is awaited, or it has ended."""
        if self.state == "directory":
            return HttpRequest("GET", self._checked(self.directory))
        if self.state == "nonce" or (self.state not in ("done", "failed") and not self._nonce):
            return HttpRequest("HEAD", self._urls["newNonce"])
        if self.state == "account":
            who: dict[str, Any] = {"contact": [f"mailto:{self.contact}"]}
            who |= {"termsOfServiceAgreed": True} if self.agreed else {}  # RFC 8555 7.3: never without being told
            return await self._post(self._urls["newAccount"], who)
        if self.state == "order":
            return await self._post(self._urls["newOrder"], {"identifiers": [{"type": "email", "value": self.address}]})
        if self.state == "challenge":
            return None if self.challenge else await self._post(self._authorisation, None)
        if self.state == "proving":
            assert self.challenge is not None
            return await (self._post(self._authorisation, None) if self._told else self._post(self.challenge.url, {}))
        if self.state == "finalise":
            if self._sent_csr:
                return await self._post(self._order, None)
            return await self._post(self._finalise, {"csr": b64(self.csr)})
        if self.state == "download":
            return await self._post(self._download, None)
        return None

    def receive(self, answer: HttpAnswer) -> float:
        """Take the answer to the last request; the seconds to wait before the next. Raises AcmeRefused."""
        if len(answer.body) > MOST_OCTETS:
            raise self._failed("The answer is too long.")
        asked_for_nonce = self.state != "directory" and not self._nonce
        self._nonce = answer.fields.get("replay-nonce", "")
        if asked_for_nonce:
            if not self._nonce:
                raise self._failed("The server gives no nonce.")
            self.state = "account" if self.state == "nonce" else self.state
            return 0.0
        if not 200 <= answer.code < 300:
            return self._problem(answer)
        wait = {
            "directory": self._take_directory,
            "account": self._take_account,
            "order": self._take_order,
            "challenge": self._take_authorisation,
            "proving": self._take_proof,
            "finalise": self._take_finalised,
            "download": self._take_certificate,
        }[self.state](answer)
        return wait or 0.0

    def reply(self, mail: ChallengeMail) -> Reply:
        """The answer to a challenge mail (RFC 8823 3.2). Raises NoChallenge when it is not the mail awaited."""
        if self.state != "challenge" or self.challenge is None:
            raise NoChallenge
        if mail.author.lower() != self.challenge.sender.lower():
            raise NoChallenge("The challenge comes from somebody else than the server named.")
        return mails.reply(mail, self.challenge.token, self.account.jwk())

    def replied(self) -> None:
        """The reply is on its way: the server may look for it."""
        self.state, self._looks, self._told = "proving", 0, False

    def lost(self) -> None:
        """The last request got no answer: what it carried is asked for again, under a new nonce."""
        self._nonce = ""

    def again(self) -> None:
        """The server did not believe the proof: a new order, with a new challenge."""
        self.state, self.challenge, self._nonce = "order", None, ""
        self._looks = self._refused_nonces = 0
        self._sent_csr = self._told = False

    def plain(self) -> dict[str, Any]:
        """What must be kept of it between two steps, as plain values; what it is made of is left out."""
        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _MADE_OF}
        return {**kept, "challenge": self.challenge and list(self.challenge)}

    def restored(self, kept: Mapping[str, Any]) -> Enrolment:
        """Itself, taken up again where ``plain`` left it."""
        for name, value in kept.items():
            setattr(self, name, Challenge(*value) if name == "challenge" and value else value)
        return self

    async def _post(self, url: str, payload: Any) -> HttpRequest:
        """A signed POST; ``payload`` None: POST-as-GET (RFC 8555 6.3)."""
        protected: dict[str, Any] = {"alg": "ES256", "nonce": self._nonce, "url": self._checked(url)}
        protected |= {"kid": self._kid} if self._kid else {"jwk": self.account.jwk()}
        self._nonce = ""
        head, body = b64(json.dumps(protected).encode()), "" if payload is None else b64(json.dumps(payload).encode())
        signature = await self.account.sign(f"{head}.{body}".encode())
        jws = {"protected": head, "payload": body, "signature": b64(signature)}
        self._nonce = "spent"
        return HttpRequest("POST", url, _JOSE, json.dumps(jws).encode())

    def _checked(self, url: str) -> str:
        try:
            here, there = urlsplit(self.directory), urlsplit(url)
            same = (there.scheme, there.hostname, there.port) == ("https", here.hostname, here.port)
        except ValueError:
            same = False
        if not same or not url.isascii() or " " in url:
            raise self._failed("The server names an address that is not its own.")
        return url

    def _failed(self, sentence: str, detail: str = "") -> AcmeRefused:
        self.state = "failed"
        return AcmeRefused(sentence, detail=detail)

    def _json(self, answer: HttpAnswer) -> dict[str, Any]:
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._failed("The answer is not JSON.")
        return found

    def _text(self, found: dict[str, Any], name: str) -> str:
        value = found.get(name)
        if not isinstance(value, str) or not value:
            raise self._failed(f"The answer has no {name}.")
        return value

    def _problem(self, answer: HttpAnswer) -> float:
        """RFC 8555 6.5 and 6.7. Raises AcmeRefused unless asking again can help."""
        if answer.code == 429 or answer.code >= 500:
            return self._wait(answer)
        if answer.code < 400:
            raise self._failed("The server sends us elsewhere, where nobody goes.", detail=str(answer.code))
        problem = self._json(answer)
        kind = str(problem.get("type", ""))
        if kind.endswith(":badNonce") and self._refused_nonces < NONCE_TRIES:
            self._refused_nonces += 1
            return 0.0
        if kind.endswith(":orderNotReady") and self.state == "finalise" and not self._sent_csr:
            self._sent_csr = True  # it has the request already: the answer to it was lost (RFC 8555 7.4)
            return self._wait(answer)
        said = "".join(each for each in str(problem.get("detail", "")) if each.isprintable())
        raise self._failed("The server refused the request.", detail=f"{kind[:100]} {said[:200]}".strip())

    def _wait(self, answer: HttpAnswer) -> float:
        self._looks += 1
        if self._looks > MOST_LOOKS:
            raise self._failed("The server did not come to an end in time.")
        text = answer.fields.get("retry-after", "")
        return float(min(int(text), 3600)) if text.isdigit() else min(2.0**self._looks, 300.0)

    def _take_directory(self, answer: HttpAnswer) -> None:
        found = self._json(answer)
        meta = found.get("meta")
        if isinstance(meta, dict) and meta.get("termsOfService") and not self.agreed:
            sentence = "The server has terms of service; read them, then set acme_terms_agreed to yes."
            raise self._failed(sentence, detail=str(meta["termsOfService"])[:200])
        if isinstance(meta, dict) and meta.get("externalAccountRequired"):
            raise self._failed("The server takes only accounts that it was told of before (external account binding).")
        self._urls = {name: self._checked(self._text(found, name)) for name in ("newNonce", "newAccount", "newOrder")}
        self._nonce = ""
        self.state = "nonce"

    def _take_account(self, answer: HttpAnswer) -> None:
        self._kid = self._checked(answer.fields.get("location", ""))
        self.state = "order"

    def _take_order(self, answer: HttpAnswer) -> None:
        found = self._json(answer)
        self._order = self._checked(answer.fields.get("location", ""))
        self._finalise = self._checked(self._text(found, "finalize"))
        listed = found.get("authorizations")
        if not isinstance(listed, list) or len(listed) != 1:
            raise self._failed("An order for one address has one authorisation.")
        self._authorisation = self._checked(str(listed[0]))
        self.state = "finalise" if found.get("status") == "ready" else "challenge"

    def _take_authorisation(self, answer: HttpAnswer) -> None:
        found = self._json(answer)
        if found.get("identifier") != {"type": "email", "value": self.address}:
            raise self._failed("The authorisation is for another address.")
        if found.get("status") == "valid":
            self.state = "finalise"
            return
        if found.get("status") != "pending":
            raise self._failed("The server has given the authorisation up.", detail=str(found.get("status"))[:50])
        offered = found.get("challenges")
        for each in offered if isinstance(offered, list) else []:
            if isinstance(each, dict) and each.get("type") == CHALLENGE:
                url = self._checked(self._text(each, "url"))
                token = self._text(each, "token")
                if not TOKEN.match(token):
                    raise self._failed("The server's token is none.")
                self.challenge = Challenge(self._text(each, "from"), token, url)
                return
        raise self._failed("The server offers no challenge by mail.")

    def _take_proof(self, answer: HttpAnswer) -> float:
        """The first answer is the challenge's, the others are the authorisation's."""
        status, first, self._told = self._json(answer).get("status"), not self._told, True
        self._refused_nonces = 0
        if status == "valid" and not first:
            self.state, self._looks = "finalise", 0
            return 0.0
        if status not in ("pending", "processing", "valid"):
            raise ProofRefused(detail=str(status)[:50])
        return self._wait(answer)

    def _take_finalised(self, answer: HttpAnswer) -> float:
        self._sent_csr = True
        found = self._json(answer)
        if found.get("status") == "valid":
            self._download = self._checked(self._text(found, "certificate"))
            self.state = "download"
            return 0.0
        if found.get("status") not in ("processing", "ready", "pending"):
            raise self._failed("The server did not make the certificate.", detail=str(found.get("status"))[:50])
        return self._wait(answer)

    def _take_certificate(self, answer: HttpAnswer) -> None:
        if b"-----BEGIN CERTIFICATE-----" not in answer.body:
            raise self._failed("The answer holds no certificate.")
        self.certificate = answer.body
        self.state = "done"
