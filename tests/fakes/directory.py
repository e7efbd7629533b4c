"""An LDAP directory for tests: Debian's slapd on loopback, with a configuration and a database of its own.

Guarantees
    Nothing of the machine's own slapd is read or written. What was started is ended by its process id and deleted.

Raises
    AssertionError when slapd is missing or does not start.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

BASE = "dc=directory,dc=test"
READER = f"cn=reader,{BASE}"
PASSWORD = "read only"

_SCHEMA = Path("/etc/ldap/schema")
_CONFIGURATION = """\
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
pidfile {folder}/pid
argsfile {folder}/args
modulepath /usr/lib/ldap
moduleload back_mdb
{tls}
database mdb
suffix "{base}"
rootdn "cn=admin,{base}"
directory {folder}/data
access to attrs=userPassword by anonymous auth
access to dn.subtree="ou=closed,{base}" by dn.exact="{reader}" read
access to * by * read
"""


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _entry(dn: str, **attributes: str | bytes | list[str | bytes]) -> str:
    lines = [f"dn: {dn}"]
    for name, values in attributes.items():
        for value in values if isinstance(values, list) else [values]:
            octets = value.encode() if isinstance(value, str) else value
            lines.append(f"{name.replace('_', ';')}:: {base64.b64encode(octets).decode()}")
    return "\n".join(lines) + "\n\n"


class Directory:
    """slapd from the start of a ``with`` to its end. Add people before."""

    def __init__(self, tls: Path | None = None) -> None:
        """``tls``: PEM file with certificate and key; then there is a port for ldaps too."""
        self.folder = Path(tempfile.mkdtemp(prefix="ll-slapd-"))
        self.port, self.tls_port = free_port(), free_port()
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        name = BASE.split(",")[0].partition("=")[2]
        self._entries = [
            _entry(BASE, objectClass=["dcObject", "organization"], dc=name, o="test"),
            _entry(f"ou=open,{BASE}", objectClass="organizationalUnit", ou="open"),
            _entry(f"ou=closed,{BASE}", objectClass="organizationalUnit", ou="closed"),
            _entry(READER, objectClass=["person"], cn="reader", sn="reader", userPassword=PASSWORD),
        ]

    @property
    def url(self) -> str:
        """The directory, as a setting names it."""
        return f"ldap://127.0.0.1:{self.port}/{BASE}"

    def add_person(self, address: str, *certificates: bytes, p7b: bytes = b"", where: str = "open") -> None:
        """A person with certificates."""
        attributes: dict[str, str | bytes | list[str | bytes]] = {
            "objectClass": ["inetOrgPerson"],
            "cn": address,
            "sn": "someone",
            "mail": address,
        }
        if certificates:
            attributes["userCertificate_binary"] = list(certificates)
        if p7b:
            attributes["userSMIMECertificate"] = p7b
        self._entries.append(_entry(f"cn={address},ou={where},{BASE}", **attributes))

    def add_authority(self, name: str, certificate: bytes, crl: bytes) -> None:
        """An authority with its certificate and CRL."""
        self._entries.append(
            _entry(
                f"cn={name},ou=open,{BASE}",
                objectClass=["applicationProcess", "pkiCA"],
                cn=name,
                cACertificate_binary=certificate,
                certificateRevocationList_binary=crl,
            )
        )

    def __enter__(self) -> Directory:
        slapd, slapadd = shutil.which("slapd", path="/usr/sbin:/usr/bin"), shutil.which("slapadd", path="/usr/sbin")
        assert slapd and slapadd, "slapd is missing: install Debian's package slapd"
        (self.folder / "data").mkdir()
        configuration = self.folder / "slapd.conf"
        tls = f"TLSCertificateFile {self._tls}\nTLSCertificateKeyFile {self._tls}" if self._tls else ""
        configuration.write_text(
            _CONFIGURATION.format(schema=_SCHEMA, folder=self.folder, base=BASE, reader=READER, tls=tls)
        )
        ldif = self.folder / "entries.ldif"
        ldif.write_text("".join(self._entries))
        done = subprocess.run([slapadd, "-f", configuration, "-l", ldif], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        urls = [f"ldap://127.0.0.1:{self.port}/"]
        if self._tls:
            urls.append(f"ldaps://127.0.0.1:{self.tls_port}/")
        self._process = subprocess.Popen(
            [slapd, "-f", configuration, "-h", " ".join(urls), "-d", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_serving()
        return self

    def _wait_serving(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        self.__exit__()
        raise AssertionError("slapd does not start")

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        shutil.rmtree(self.folder)
