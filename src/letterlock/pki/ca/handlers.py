"""Every handler of requests by its name, as requests, settings and commands name it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from letterlock.pki.acme.begin import Acme
from letterlock.pki.ca.request import BuiltIn, Handler, Pkcs10

HANDLERS: Final[Mapping[str, Handler]] = {
    "builtin": BuiltIn(),
    "delayed": BuiltIn(),
    "pkcs10": Pkcs10(),
    "acme": Acme(),
}
