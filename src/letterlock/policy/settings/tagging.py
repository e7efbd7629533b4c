"""Settings of the marks on incoming mail: subject tags and X-Letterlock-Info fields.

Guarantees
    Our own tags and fields are removed from everything incoming, whatever these settings say; they choose what is
    added.
"""

from __future__ import annotations

from letterlock.policy.settings.declare import EVERYWHERE, Setting
from letterlock.policy.settings.kinds import Flag, Text
from letterlock.policy.settings.texts import PATTERN

SIGNER = "{signer}"
"""Where tag_signed_by puts the signer's address."""


def _with_signer(text: str) -> str:
    if SIGNER not in text:
        raise ValueError(f"it must hold {SIGNER}")
    return text


_TAG = Text("a tag", most=60)


def _tag(name: str, default: str, doc: str, kind: Text = _TAG) -> Setting[str]:
    return Setting(name, kind, default, doc, EVERYWHERE, "recipient")


ADD_SECURITY_INFO = Setting(
    "add_security_info", Flag(), True, "Tags are put at the front of incoming subjects.", EVERYWHERE, "recipient"
)
ADD_INFO_FIELDS = Setting(
    "add_info_fields", Flag(), True, "X-Letterlock-Info fields are added to incoming mail.", EVERYWHERE, "recipient"
)
TAG_DECRYPTED = _tag("tag_decrypted", "[decrypted]", "The tag of mail that was encrypted and that we decrypted.")
TAG_SIGNED_VALID = _tag("tag_signed_valid", "[signed]", "The tag of mail signed by its author, valid and trusted.")
TAG_SIGNED_BY = _tag(
    "tag_signed_by",
    "[signed by: {signer}]",
    "The tag of mail validly signed by somebody who is not its author; {signer} is the signer's address.",
    Text("a tag that holds {signer}", most=60, more=_with_signer),
)
TAG_SIGNED_INVALID = _tag(
    "tag_signed_invalid", "[invalid signature]", "The tag of mail whose signature is broken or not trusted."
)
TAG_MIXED_CONTENT = _tag(
    "tag_mixed_content", "[mixed content]", "The tag of mail of which only a part was signed or encrypted."
)
SUBJECT_FILTER = Setting(
    "subject_filter",
    PATTERN,
    "",
    "More that is removed from incoming subjects, as a regular expression; our own tags always are.",
    EVERYWHERE,
    "recipient",
)
