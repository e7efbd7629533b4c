"""A PostgreSQL that is not ours: the distribution's programs, a cluster of its own, TLS on loopback, passwords.

Guarantees
    It listens on 127.0.0.1 only, takes TLS connections only, and knows one administrator, whose password is in ``url``.
    As root it runs as the distribution's user, for PostgreSQL refuses root.

See also
    ``postgres.py``, the server the product brings along.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psycopg

from tests.fakes.installation import free_port
from tests.fakes.postgres import distribution_programs
from tests.fakes.tls import Certificates

SYSTEM_USER = "postgres"  # of Debian's and Ubuntu's packages


class ExternalPostgres:
    """``with ExternalPostgres() as server``: ``server.url`` for [database] url, ``server.anchors`` for PGSSLROOTCERT."""

    def __init__(self) -> None:
        programs = distribution_programs()
        assert programs is not None, "The distribution's PostgreSQL (15 or later) is missing: install it."
        self._programs = programs
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="ll-ext-"))
        self._folder.chmod(0o755)
        self._port = free_port()
        self._password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        certificates = Certificates(self._folder, name="localhost")
        self.anchors = certificates.authority
        self._certificate = certificates.server

    @property
    def url(self) -> str:
        """Its address, with the administrator's password."""
        return f"postgresql://boss:{self._password}@localhost:{self._port}/letterlock"

    def __enter__(self) -> ExternalPostgres:
        try:
            self._make()
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def connect(self, dbname: str = "letterlock") -> psycopg.Connection[tuple[object, ...]]:
        """A connection as its administrator, autocommit."""
        return psycopg.connect(
            host="localhost", port=self._port, user="boss", password=self._password, dbname=dbname,
            sslmode="verify-full", sslrootcert=str(self.anchors), autocommit=True,
        )  # fmt: skip

    def _make(self) -> None:
        data, secret = self._folder / "data", self._folder / "password"
        secret.write_text(self._password)
        data.mkdir(mode=0o700)
        if self._user is not None:
            who = pwd.getpwnam(self._user)
            for path in (data, secret, self._certificate):
                os.chown(path, who.pw_uid, who.pw_gid)
        self._certificate.chmod(0o600)
        subprocess.run(
            [self._programs / "initdb", "-D", data, "-U", "boss", "-E", "UTF8", "--no-locale", "--no-sync",
             "-A", "scram-sha-256", "--pwfile", secret],
            check=True, capture_output=True, user=self._user, cwd="/",
        )  # fmt: skip
        (data / "pg_hba.conf").write_text(
            "hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n"
        )

    def _start(self) -> None:
        settings = {
            "listen_addresses": "localhost",
            "port": str(self._port),
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": str(self._certificate),
            "ssl_key_file": str(self._certificate),
            "fsync": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._folder / "data", *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self._user, cwd="/",
        )  # fmt: skip
        end = time.monotonic() + 30
        while True:
            try:
                with self.connect("postgres") as connection:
                    connection.execute("CREATE DATABASE letterlock")
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)
