"""The envelope: reverse-path, recipients and their ESMTP parameters, and how the message came.

Guarantees
    An Envelope is immutable; its encoding is what the vault seals beside the content.

Standards
    RFC 5321 4.1.1.2 and 4.1.1.3 (MAIL, RCPT), RFC 3461 4 (NOTIFY, ORCPT, RET, ENVID), RFC 6152 (BODY), RFC 6531 (SMTPUTF8).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Notify = Literal["NEVER", "SUCCESS", "FAILURE", "DELAY"]


class Recipient(msgspec.Struct, frozen=True, array_like=True):
    """One forward-path. ``address``: local part as given, domain in lower-case A-label form."""

    address: str
    notify: tuple[Notify, ...] = ()  # empty: not given; RFC 3461 4.1
    orcpt: str = ""  # "rfc822;user@example.org", decoded xtext; empty: not given

    @property
    def domain(self) -> str:
        """The part after the last @, in A-label form."""
        return self.address.rpartition("@")[2]


class Trace(msgspec.Struct, frozen=True, array_like=True):
    """How the message came to us: what a Received field will say (RFC 5321 4.4)."""

    client: str = ""  # address of the peer, or of the XFORWARD client
    helo: str = ""
    protocol: str = "ESMTP"  # ESMTP, ESMTPS, SMTP, UTF8SMTP(S): RFC 3848, RFC 6531 4.3
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384"; empty: not encrypted
    certificate: str = ""  # subject of the verified client certificate; empty: none
    by: str = ""  # our host name


Origin = Literal["submission", "internet", "notice", "proof"]
"""submission: by a client that may relay. internet: to us as the recipients' exchanger. notice: made by ourselves.
proof: made by ourselves in a sender's name, in reply to the challenge of an ACME server."""


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """What the SMTP client said about one message. ``sender`` is "" for the null reverse-path."""

    sender: str
    recipients: tuple[Recipient, ...]
    origin: Origin = "submission"
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""  # decoded xtext
    body: Literal["7BIT", "8BITMIME"] = "7BIT"
    smtputf8: bool = False
    received_at: float = 0.0  # seconds since the Unix epoch, UTC
    trace: Trace = Trace()

    def encode(self) -> bytes:
        """MessagePack; read back by decode()."""
        return _encoder.encode(self)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def decode(octets: bytes) -> Envelope:
    """The Envelope of encode(). Raises msgspec.DecodeError when the octets are not one."""
    return _decoder.decode(octets)
