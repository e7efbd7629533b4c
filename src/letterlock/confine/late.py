"""Load beforehand what libraries import at the first use of something: a child that opens no files cannot.

Guarantees
    Modules that do not load here (for other platforms, for tests) are passed over; what is loaded twice costs nothing.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import pkgutil
from typing import Final

_CODECS: Final = ("ascii", "latin_1", "utf_8", "utf_16_be", "utf_32_be", "idna", "punycode")


def load(*packages: str) -> None:
    """Import every module of these packages, and the codecs that octets from outside may ask for."""
    for name in packages:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            with contextlib.suppress(Exception):
                importlib.import_module(found.name)
    for codec in _CODECS:
        codecs.lookup(codec)
