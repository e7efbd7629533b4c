"""What is needed to start: the settings of letterlock.toml, each with its type, default and one line of explanation.

Guarantees
    All of it is immutable and complete; everything that can be changed while running is in the database instead.

See also
    ``load.py`` (file and environment), ``sample.py`` (the annotated file and the reference page, made from this table);
    ``policy/settings/`` for the settings in the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

LogLevel = Literal["debug", "info", "warning", "error"]
CryptoProfile = Literal["default", "fips"]
FipsProvider = Literal["required", "not required"]


class Listen(NamedTuple):
    """An address to listen on. ``host``: an IP address or name; an IPv6 address without brackets; "*" for all."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_STATUS = Listen("127.0.0.1", 8025)


@dataclass(frozen=True, slots=True)
class Smtp:
    """The SMTP listeners."""

    listen: Annotated[
        tuple[Listen, ...], "Addresses to take mail on by SMTP, with STARTTLS when there is a certificate."
    ] = (Listen("127.0.0.1", 10025),)
    tls_listen: Annotated[tuple[Listen, ...], "Addresses to take mail on by SMTP with TLS from the first octet."] = ()
    hostname: Annotated[str, "The name this server says it has; empty: the machine's full name."] = ""
    certificate: Annotated[str, "PEM file with the server's certificate and its chain; empty: no TLS."] = ""
    key: Annotated[str, "PEM file with the certificate's private key; empty: it is in the certificate file."] = ""
    client_ca: Annotated[
        str, "PEM file with the authorities whose client certificates may count (relay_certificates); empty: none."
    ] = ""
    processes: Annotated[int, "How many processes listen, 1 to 64; one serves two processor cores."] = 1


@dataclass(frozen=True, slots=True)
class Reinject:
    """The listener that a content filter hands mail back to."""

    listen: Annotated[tuple[Listen, ...], "Addresses where a content filter hands mail back; empty: none."] = ()


@dataclass(frozen=True, slots=True)
class Http:
    """The HTTP listeners."""

    status: Annotated[Listen, "Loopback address of /livez, /readyz and /metrics."] = _STATUS
    portal: Annotated[Listen | None, "Address of the portal for recipients; empty: none."] = None
    admin: Annotated[Listen | None, "Address of the administration pages and of /api/v1; empty: none."] = None

    public: Annotated[
        Listen | None,
        "Address where everybody may fetch the certificate authority's lists and OCSP answers; empty: none.",
    ] = None

    def status_address(self) -> Listen:
        """Where the status port is."""
        return self.status


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is."""

    url: Annotated[str, "postgresql:// address of an external server; empty: Letterlock starts its own."] = field(
        default="", repr=False
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the root key comes from."""

    root: Annotated[
        str, "The root key: file:PATH, passphrase:PATH (a file that holds it) or credential:NAME (systemd)."
    ] = "file:keys/root.key"


@dataclass(frozen=True, slots=True)
class Pkcs11:
    """A PKCS #11 token (an HSM) that may hold private keys."""

    module: Annotated[str, "Path of the module, a shared library; empty: no token."] = ""
    token: Annotated[str, "Which of its tokens, an RFC 7512 URI such as pkcs11:token=NAME or pkcs11:serial=NUMBER."] = (
        ""
    )
    pin: Annotated[str, "Where the user PIN is: file:PATH (mode 0600, one line) or credential:NAME (systemd)."] = (
        "file:keys/pkcs11.pin"
    )


@dataclass(frozen=True, slots=True)
class Fetch:
    """What the fetch station needs besides its settings in the database."""

    passwords: Annotated[
        str, 'TOML file (mode 0600) with dn and password for LDAP directories, in sections ["host:port"]; empty: none.'
    ] = ""


@dataclass(frozen=True, slots=True)
class Run:
    """How the processes run."""

    user: Annotated[str, "System user to run as when started as root; empty: the one who started."] = ""
    log: Annotated[LogLevel, "The least severe events that are logged: debug, info, warning or error."] = "info"
    crypto_profile: Annotated[
        CryptoProfile, "default, or fips: only algorithms that NIST approved, and what that disables (docs/fips.md)."
    ] = "default"
    fips_provider: Annotated[
        FipsProvider,
        "With fips: required refuses to start unless OpenSSL reports an active FIPS provider; or not required.",
    ] = "required"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, by section of the file."""

    smtp: Smtp = Smtp()
    reinject: Reinject = Reinject()
    http: Http = Http()
    database: Database = Database()
    keys: Keys = Keys()
    pkcs11: Pkcs11 = Pkcs11()
    fetch: Fetch = Fetch()
    run: Run = Run()
