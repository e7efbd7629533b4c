"""A key that is on the PKCS #11 token already, and its certificate: how a command names the one and keeps both.

See also
    ``keys.py`` (``keys token`` lists them), ``keyholder/token_keys.py``.
"""

from __future__ import annotations

import re
from uuid import UUID

from letterlock.cli.connect import Door
from letterlock.errors import PermanentError
from letterlock.pki.certificate import Certificate
from letterlock.pki.pkcs11_uri import SCHEME, TokenUri, form
from letterlock.vault.errors import KeyRefused

_ID = re.compile("([0-9a-fA-F]{2})+")


def uri_of(text: str) -> str:
    """The URI of a key by its URI, its id in hexadecimal digits, or label:LABEL."""
    if text.startswith(SCHEME):
        return text
    if _ID.fullmatch(text):
        return form(TokenUri(id=bytes.fromhex(text)))
    return form(TokenUri(object=text.removeprefix("label:")))


async def adopt(door: Door, certificate: Certificate, organisation: UUID, text: str) -> UUID:
    """Have the key on the token kept for a certificate; its id. Raises PermanentError when they do not belong together."""
    try:
        return (await door.keyholder.adopt_key(door.token, organisation, uri_of(text), certificate.spki))[0]
    except KeyRefused as error:
        raise PermanentError(error.public) from error
