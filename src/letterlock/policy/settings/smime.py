"""Settings of S/MIME: when it is used, what for, with which algorithms, up to which size.

Standards
    RFC 8551 2.7 (content encryption algorithms), RFC 5545 (calendar), RFC 9788 3 and 5.2 (header protection).
"""

from __future__ import annotations

from typing import NamedTuple

from letterlock.policy.settings.declare import (
    ALL_OF,
    ANY_OF,
    EVERYWHERE,
    RECIPIENT_FIRST,
    SMALLEST,
    UNION,
    Setting,
    strictest,
)
from letterlock.policy.settings.kinds import Choice, Flag, Listed, Octets
from letterlock.policy.settings.texts import ADDRESS

MIB = 1 << 20
CIPHERS = ("auto", "aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm")

SMIME_ENABLED = Setting("smime_enabled", Flag(), True, "S/MIME may be used.", EVERYWHERE, "both", ALL_OF)
SMIME_SIGN = Setting(
    "smime_sign",
    Flag(),
    False,
    "Outgoing mail is always signed when the sender has a valid signing certificate.",
    EVERYWHERE,
    "sender",
)
SMIME_ONLY_SIGN_WHEN_ENCRYPT = Setting(
    "smime_only_sign_when_encrypt",
    Flag(),
    True,
    "Outgoing mail is signed when it is encrypted. With this and smime_sign off only a trigger signs.",
    EVERYWHERE,
    "sender",
)
SMIME_ENCRYPTION_ALG = Setting(
    "smime_encryption_alg",
    Choice(*CIPHERS),
    "auto",
    "The content encryption; auto: the best that all certificates of a recipient announce, else AES-256-CBC.",
    EVERYWHERE,
    "both",
    RECIPIENT_FIRST,
)


class Floor(NamedTuple):
    """The least that a content encryption must be."""

    key_octets: int
    authenticated: bool

    def holds(self, cipher: str) -> bool:
        """Is a cipher of CIPHERS, not auto, as strong as that?"""
        return int(cipher[3:6]) >= 8 * self.key_octets and (cipher.endswith("gcm") or not self.authenticated)


FLOORS = {"aes128": Floor(16, False), "aes256": Floor(32, False), "aes256-gcm": Floor(32, True)}
SMIME_ENCRYPTION_FLOOR = Setting(
    "smime_encryption_floor",
    Choice(*FLOORS),
    "aes128",
    "No content encryption weaker than this is written, whatever smime_encryption_alg or the recipient's certificate say;"
    " aes256-gcm is not read by every program.",
    EVERYWHERE,
    "both",
    strictest(*FLOORS),
)
SMIME_KEY_TRANSPORT = Setting(
    "smime_key_transport",
    Choice("auto", "pkcs1", "oaep"),
    "auto",
    "How a content key reaches a recipient with an RSA key: auto: RSAES-OAEP with SHA-256 for those known to read it, else"
    " RSA PKCS #1 v1.5.",
    EVERYWHERE,
    "both",
    RECIPIENT_FIRST,
)
SMIME_SIGNING_ALG = Setting(
    "smime_signing_alg",
    Choice(
        "auto", *(f"{form}-{digest}" for form in ("rsa-pkcs1", "rsa-pss") for digest in ("sha256", "sha384", "sha512"))
    ),
    "auto",
    "How mail is signed with an RSA key; auto: rsa-pkcs1-sha256. Other keys have one algorithm each.",
    EVERYWHERE,
    "sender",
)
SMIME_SIGNED_FORM = Setting(
    "smime_signed_form",
    Choice("clear", "opaque"),
    "clear",
    "How mail leaves that is signed and not encrypted. opaque: the text inside the signature, which programs without S/MIME"
    " cannot read: only for relays that change mail on its way and so break clear signatures.",
    EVERYWHERE,
    "both",
    RECIPIENT_FIRST,
)
SMIME_COMPRESS = Setting(
    "smime_compress",
    Flag(),
    False,
    "Mail is compressed before it is encrypted (RFC 3274); many programs cannot read that.",
    EVERYWHERE,
    "both",
    ANY_OF,
)
SMIME_REMOVE_SIGNATURE = Setting(
    "smime_remove_signature",
    Flag(),
    False,
    "Incoming mail with good signatures is delivered without them: for programs that show signed mail badly.",
    EVERYWHERE,
    "recipient",
)
SMIME_MAX_SIZE = Setting(
    "smime_max_size",
    Octets(0, 1 << 40),
    50 * MIB,
    "A larger message is not signed or encrypted by S/MIME; the next method is tried.",
    EVERYWHERE,
    "both",
    SMALLEST,
)
SMIME_STRICT = Setting(
    "smime_strict",
    Flag(),
    True,
    "A recipient gets what was decrypted only when a certificate of the recipient, or of its domain, was addressed; no:"
    " also when a key of another recipient of the message opened it.",
    EVERYWHERE,
    "recipient",
)
SMIME_DOMAIN_KEY_NAMED = Setting(
    "smime_domain_key_named",
    Flag(),
    False,
    "What a domain's key decrypted goes only to recipients named in To or Cc; others get the message as it came.",
    EVERYWHERE,
    "recipient",
)
REVOCATION = ("none", "soft", "hard")
SMIME_REVOCATION = Setting(
    "smime_revocation",
    Choice(*REVOCATION),
    "soft",
    "Whether CRLs and OCSP answers are asked. soft: what is revoked is refused, what is not known is accepted and shown;"
    " hard: what is not known is refused too. For encryption, own signatures and signatures that come in.",
    EVERYWHERE,
    "both",
    strictest(*REVOCATION),
)
SMIME_SKIP_CALENDAR = Setting(
    "smime_skip_calendar",
    Flag(),
    False,
    "Calendar mail is not encrypted by S/MIME unless encryption is mandatory.",
    EVERYWHERE,
    "both",
    ANY_OF,
)
SMIME_SKIP_SIGN_CALENDAR = Setting(
    "smime_skip_sign_calendar",
    Flag(),
    True,
    "Calendar mail is not signed: mail programs do not find the invitation inside.",
    EVERYWHERE,
    "both",
    ANY_OF,
)
SMIME_ADDITIONAL_CERTIFICATES = Setting(
    "smime_additional_certificates",
    Listed(ADDRESS, "e-mail addresses", most=20),
    (),
    "Addresses whose valid certificates are added to each S/MIME encryption (escrow, central scanner).",
    EVERYWHERE,
    "both",
    UNION,
)
SMIME_ADD_ADDITIONAL_CERTS = Setting(
    "smime_add_additional_certs",
    Flag(),
    True,
    "The additional certificates are added; no on either side leaves them out.",
    EVERYWHERE,
    "both",
    ALL_OF,
)
SMIME_HEADER_PROTECTION = Setting(
    "smime_header_protection",
    Choice("none", "copy", "hide"),
    "none",
    "copy: header fields are signed and encrypted too; hide: and encrypted mail shows [...] as its subject outside.",
    EVERYWHERE,
    "both",
    RECIPIENT_FIRST,
)
SMIME_LEGACY_DISPLAY = Setting(
    "smime_legacy_display",
    Flag(),
    True,
    "A hidden subject is shown at the top of the text too, for programs that do not look for it inside.",
    EVERYWHERE,
    "both",
    ALL_OF,
)
SMIME_AUTO_IMPORT = Setting(
    "smime_auto_import",
    Flag(),
    True,
    "Certificates of correspondents are kept from their signed mail, when path and address hold.",
    EVERYWHERE,
    "sender",
)
SMIME_AUTO_IMPORT_APPROVAL = Setting(
    "smime_auto_import_approval",
    Flag(),
    False,
    "A kept certificate with another key than those known for its address waits for 'certificate approve'.",
    EVERYWHERE,
    "sender",
)
SMIME_KEY_CHANGE_NOTICE = Setting(
    "smime_key_change_notice",
    Choice("none", "waiting", "all"),
    "waiting",
    "When postmaster (as set) is told of a correspondent's new key: never, when it waits for approval, or always.",
    EVERYWHERE,
    "sender",
)
