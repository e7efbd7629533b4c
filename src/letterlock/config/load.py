"""The settings of letterlock.toml and the environment, checked all together.

Order
    Default, then the file, then LETTERLOCK_<SECTION>_<KEY>, or the contents of the file that
    LETTERLOCK_<SECTION>_<KEY>_FILE names (for secrets). LETTERLOCK_DATABASE is the same as LETTERLOCK_DATABASE_URL.

Guarantees
    Every fault is reported at once, each as one sentence that names the key and where it stands; no secret is in it.

Raises
    ConfigInvalid (wrong use).

See also
    ``settings.py`` for what there is.
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from letterlock.config.settings import CryptoProfile, FipsProvider, Listen, LogLevel, Settings
from letterlock.errors import UsageError

PREFIX = "LETTERLOCK_"
_ALIASES = {"LETTERLOCK_DATABASE": "LETTERLOCK_DATABASE_URL"}
_MAX_OCTETS = 1 << 20


class ConfigInvalid(UsageError):
    """The configuration is not valid."""

    def __init__(self, faults: list[str]) -> None:
        """``faults``: one sentence each."""
        self.faults = tuple(faults)
        super().__init__("\n".join(faults))


class _Fault(ValueError):
    """What a value must be: the end of the sentence "KEY must be ..."."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise _Fault("a text on one line")
    return value.strip()


def _whole(value: object) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 64:
        raise _Fault("a whole number from 1 to 64")
    return value


def _listen(value: object) -> Listen:
    wrong = _Fault("an address with a port such as 127.0.0.1:10025 or [::1]:10025")
    if not isinstance(value, str):
        raise wrong
    host, colon, port = value.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise wrong
    if not colon or not host or " " in host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise wrong
    return Listen(host, int(port))


def _listen_or_none(value: object) -> Listen | None:
    return None if value == "" else _listen(value)


def _listens(value: object) -> tuple[Listen, ...]:
    if isinstance(value, str):
        value = [one for one in value.split(",") if one.strip()]
    if not isinstance(value, list):
        raise _Fault("a list of addresses with ports")
    return tuple(_listen(one) for one in value)


def _one_of(kind: object) -> Callable[[object], str]:
    words = typing.get_args(kind)

    def read(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise _Fault(f"one of {', '.join(words)}")
        return value.strip().lower()

    return read


_READERS: dict[object, Callable[[object], Any]] = {
    str: _text,
    int: _whole,
    Listen: _listen,
    Listen | None: _listen_or_none,
    tuple[Listen, ...]: _listens,
    LogLevel: _one_of(LogLevel),
    CryptoProfile: _one_of(CryptoProfile),
    FipsProvider: _one_of(FipsProvider),
}


class Key(NamedTuple):
    """One key of the file, as the table in ``settings.py`` has it."""

    name: str
    type: Any
    default: Any
    doc: str


def sections() -> dict[str, tuple[type, dict[str, Key]]]:
    """Each section of the file: its dataclass and its keys."""
    found = {}
    for name, kind in typing.get_type_hints(Settings).items():
        hints = typing.get_type_hints(kind, include_extras=True)
        keys = {}
        for each in fields(kind):
            what, doc = typing.get_args(hints[each.name])
            keys[each.name] = Key(each.name, what, each.default, doc)
        found[name] = (kind, keys)
    return found


def variable(section: str, key: str) -> str:
    """The environment variable of a key."""
    return f"{PREFIX}{section.upper()}_{key.upper()}"


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings. ``path``: of the file, None for none (a missing file is a fault). Raises ConfigInvalid."""
    faults: list[str] = []
    given = _read_file(path, faults) if path else {}
    _find_strangers(given, environment, faults, path)
    made: dict[str, Any] = {}
    for name, (kind, keys) in sections().items():
        table = given.get(name, {})
        values: dict[str, Any] = {}
        for key, declared in keys.items():
            found = _look_up(name, key, table if isinstance(table, dict) else {}, environment, faults)
            if found is None:
                continue
            value, where = found
            try:
                values[key] = _READERS[declared.type](value)
            except _Fault as fault:
                faults.append(f"{where} must be {fault}.")
        made[name] = kind(**values)
    settings = Settings(**made)
    _check_together(settings, faults)
    if faults:
        raise ConfigInvalid(faults)
    return settings


def _read_file(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            octets = file.read(_MAX_OCTETS)
        return tomllib.loads(octets.decode())
    except OSError as error:
        faults.append(f"{path} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        faults.append(f"{path} is not UTF-8 text.")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{path} is not TOML: {error}.")
    return {}


def _find_strangers(
    given: dict[str, Any], environment: Mapping[str, str], faults: list[str], path: Path | None
) -> None:
    """What stands in the file or the environment and is no setting."""
    known = sections()
    for name, table in given.items():
        if name not in known:
            faults.append(f"[{name}] in {path} is not a section; there are {', '.join(known)}.")
        elif not isinstance(table, dict):
            faults.append(f"{name} in {path} is a section: write [{name}] and its keys below it.")
        else:
            faults += [
                f"{key} in [{name}] of {path} is not a setting; there are {', '.join(known[name][1])}."
                for key in table
                if key not in known[name][1]
            ]
    variables = {variable(name, key) for name, (_, keys) in known.items() for key in keys}
    variables |= {f"{each}_FILE" for each in variables} | set(_ALIASES) | {f"{each}_FILE" for each in _ALIASES}
    for each in sorted(environment):
        if each not in variables and any(each.startswith(variable(name, "")) for name in known):
            faults.append(f"{each} in the environment is not a setting.")


def _look_up(
    section: str, key: str, table: dict[str, Any], environment: Mapping[str, str], faults: list[str]
) -> tuple[object, str] | None:
    """The value given for a key and where; None: the default holds."""
    name = variable(section, key)
    for each in (name, *(alias for alias, of in _ALIASES.items() if of == name)):
        if each in environment:
            return environment[each], each
        file = environment.get(f"{each}_FILE")
        if file is not None:
            try:
                return Path(file).read_text(encoding="utf-8").rstrip("\r\n"), f"The file {each}_FILE names"
            except (OSError, UnicodeDecodeError):
                faults.append(f"The file that {each}_FILE names cannot be read.")
                return None
    return (table[key], f"{key} in [{section}]") if key in table else None


def _check_together(settings: Settings, faults: list[str]) -> None:
    """What no single value shows."""
    smtp = settings.smtp
    if smtp.tls_listen and not smtp.certificate:
        faults.append("tls_listen in [smtp] needs a certificate.")
    if smtp.key and not smtp.certificate:
        faults.append("key in [smtp] needs a certificate.")
    every = [*smtp.listen, *smtp.tls_listen, *settings.reinject.listen, settings.http.status]
    every += [each for each in (settings.http.portal, settings.http.admin, settings.http.public) if each]
    faults += [f"{each} is listened on twice." for each in dict.fromkeys(every) if every.count(each) > 1]
    url = settings.database.url
    if url and not url.startswith(("postgresql://", "postgres://")):
        faults.append("url in [database] must begin with postgresql://.")
    if settings.pkcs11.module and not settings.pkcs11.token.startswith("pkcs11:"):
        faults.append("token in [pkcs11] must say which token: pkcs11:token=NAME.")
    scheme, colon, rest = settings.keys.root.partition(":")
    if scheme not in ("file", "passphrase", "credential") or not colon or not rest:
        faults.append("root in [keys] must be file:PATH, passphrase:PATH or credential:NAME.")
    if scheme == "passphrase" and settings.run.crypto_profile == "fips":  # Argon2id
        faults.append("root in [keys] must be file:PATH or credential:NAME when crypto_profile in [run] is fips.")
