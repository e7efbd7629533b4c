"""PKCS #11 URIs: which token is meant, and which key on it.

Guarantees
    A URI that holds a PIN, or says where one is, is refused: PINs come from a file of their own, and a URI is shown.
    ``form(parse(text))`` means the same as ``text``.

Standards
    RFC 7512 2.3 (syntax), 2.5 (matching: what is not said matches everything). RFC 3986 2.1 (percent-encoding).

Raises
    TokenUriInvalid, with a sentence.

See also
    ``hsm.py``.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from letterlock.pki.errors import TokenUriInvalid

SCHEME: Final = "pkcs11:"
LONGEST: Final = 1000
_TEXTS: Final = ("token", "serial", "manufacturer", "model", "object")
_PLAIN: Final = "-._~:[]@!$'()*+,=&"
"""What stands in an attribute as it is: RFC 7512 2.3, pk11-pchar."""


class TokenUri(NamedTuple):
    """Attributes of a URI; empty ones match everything. ``object``: label of a key; ``id``: its CKA_ID."""

    token: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    object: str = ""
    id: bytes = b""

    @property
    def key_only(self) -> TokenUri:
        """The same without what says which token."""
        return TokenUri(object=self.object, id=self.id)


def parse(text: str) -> TokenUri:
    """The URI in ``text``. Raises TokenUriInvalid."""
    path, question, _ = text.partition("?")
    if not path.startswith(SCHEME) or len(text) > LONGEST:
        raise TokenUriInvalid
    if question:
        raise TokenUriInvalid("A PKCS #11 URI here has no part after a question mark: module and PIN are set apart.")
    values: dict[str, bytes] = {}
    for attribute in filter(None, path.removeprefix(SCHEME).split(";")):
        name, equals, value = attribute.partition("=")
        if not equals or name in values:
            raise TokenUriInvalid
        if name == "type":
            if value != "private":
                raise TokenUriInvalid("A PKCS #11 URI here names a private key: type=private, or no type.")
            continue
        if name not in (*_TEXTS, "id"):
            raise TokenUriInvalid(f"A PKCS #11 URI here has the attributes {', '.join(_TEXTS)} and id.")
        values[name] = unquote_to_bytes(value)
    try:
        texts = {name: values[name].decode() for name in _TEXTS if name in values}
    except UnicodeDecodeError:
        raise TokenUriInvalid from None
    return TokenUri(**texts, id=values.get("id", b""))


def form(uri: TokenUri) -> str:
    """The URI as text. RFC 7512 2.3: each octet of an id is percent-encoded."""
    parts = [
        f"{name}={quote_from_bytes(getattr(uri, name).encode(), safe=_PLAIN)}" for name in _TEXTS if getattr(uri, name)
    ]
    if uri.id:
        parts.append("id=" + "".join(f"%{octet:02X}" for octet in uri.id))
    return SCHEME + ";".join(parts)
