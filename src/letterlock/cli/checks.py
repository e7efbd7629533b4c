"""The checks of ``doctor``: each a function of the installation that says what it found.

Guarantees
    Nothing is changed, no key is read, nothing is sent anywhere but to loopback. A check that cannot be made says so as
    a warning; it never stops the others.

Standards
    unix(7) (length of socket paths), adjtimex(2) (whether the clock is kept).
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import ssl
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from letterlock.config import approved
from letterlock.config.load import load
from letterlock.config.settings import Settings
from letterlock.database import place as database_place
from letterlock.database.embedded import Cluster
from letterlock.errors import LetterlockError
from letterlock.keyholder import ring
from letterlock.pki.certificate import parse
from letterlock.smtpd.tls import CertificateUnusable, ServerTls
from letterlock.supervise import place
from letterlock.supervise.supervisor import ISOLATION
from letterlock.vault.provider import ProviderMissing, libraries, require

LITTLE_DISK = 2 << 30
NO_DISK = 200 << 20
OLD_AFTER = 200 * 86400
"""Seconds after which PostgreSQL's programs are called old: it has a minor release each quarter."""
OLDEST_POSTGRES = 15
ENDS_SOON = 21 * 86400
"""Seconds before the end of the server's certificate: a renewal that works has been and gone by then."""
COPY_ON_WRITE = frozenset({"btrfs", "zfs", "bcachefs", "overlay", "f2fs"})
_TIME_ERROR = 5

Verdict = Literal["good", "warning", "bad"]


class Finding(NamedTuple):
    """What one check found. ``sentence``: what holds, or what is wrong and what to do."""

    name: str
    state: Verdict
    sentence: str


class Installation(NamedTuple):
    """What is examined. ``running``: process id of the supervisor, or None."""

    state: Path
    settings: Settings
    running: int | None


Check = Callable[[Installation], Iterator[Finding]]


def examine(state: Path) -> list[Finding]:
    """Every check, in order. The first that fails so that no other makes sense ends the list."""
    found = list(_python())
    try:
        place.require_installation(state)
        settings = load(state / place.SETTINGS_FILE, os.environ)
    except LetterlockError as fault:
        return [*found, Finding("settings", "bad", fault.public)]
    found.append(Finding("settings", "good", f"{state / place.SETTINGS_FILE} is valid"))
    holder = place.lock_holder(state)
    installation = Installation(state, settings, holder[0] if holder and holder[1] == "run" else None)
    for check in CHECKS:
        try:
            found += check(installation)
        except (LetterlockError, OSError) as fault:
            found.append(
                Finding(check.__name__.strip("_").replace("_", " "), "warning", f"could not be checked: {fault}")
            )
    return found


def _python() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= (3, 11) and sys.platform == "linux"
    yield Finding(
        "python",
        "good" if good else "bad",
        f"Python {version} on {sys.platform}" + ("" if good else "; 3.11 on Linux is needed"),
    )


def _isolation(installation: Installation) -> Iterator[Finding]:
    yield Finding("isolation", "good", f"{ISOLATION}: the processes are not protected from one another (SECURITY.md)")
    if os.geteuid() == 0 and not installation.settings.run.user:
        yield Finding("user", "warning", "run as root; make a system user and name it in [run] user")


def _algorithms(installation: Installation) -> Iterator[Finding]:
    run = installation.settings.run
    told = "; ".join(f"{each.version} ({each.use}): {'active' if each.active else 'none'}" for each in libraries())
    if run.crypto_profile == "default":
        yield Finding("algorithms", "good", "crypto_profile is default: those of NIST and others")
        return
    yield Finding("algorithms", "good", f"crypto_profile is fips; not used: {'; '.join(approved.disabled())}")
    try:
        require(installation.settings)
    except ProviderMissing as fault:
        yield Finding("fips provider", "bad", fault.public)
        return
    good = all(each.active for each in libraries())
    more = "" if good else "; approved algorithms only, by implementations that nobody validated (docs/fips.md)"
    yield Finding("fips provider", "good" if good else "warning", f"FIPS provider of {told}{more}")


def _processes(installation: Installation) -> Iterator[Finding]:
    if installation.running is None:
        yield Finding("processes", "good", "the gateway does not run")
        return
    status = installation.settings.http.status
    try:
        with urllib.request.urlopen(f"http://{status}/readyz", timeout=5) as answer:
            told = json.load(answer)
    except urllib.error.HTTPError as answer:
        told = json.load(answer)
    except (OSError, ValueError):
        yield Finding("processes", "bad", f"process {installation.running} runs, but {status} does not answer")
        return
    waiting = [name for name, process in told["processes"].items() if process["state"] != "ready"]
    restarted = sum(process["restarts"] for process in told["processes"].values())
    if waiting:
        yield Finding("processes", "bad", f"not ready: {', '.join(waiting)}; the log says why")
    else:
        yield Finding("processes", "good", f"all {len(told['processes'])} serve; {restarted} restarts since the start")


def _postgres(installation: Installation) -> Iterator[Finding]:
    if installation.settings.database.url:
        yield Finding(
            "postgresql", "good", "an external server; keep log_statement and log_min_error_statement off there"
        )
        return
    if not (installation.state / database_place.RECORD).exists():
        yield Finding("postgresql", "bad", "the database was never made: say 'letterlock init' again")
        return
    cluster = Cluster(installation.state)
    version = cluster.version()
    age = time.time() - (cluster.place.programs / "postgres").stat().st_mtime
    where = f"PostgreSQL {version} in {cluster.place.programs}, run as {cluster.place.user.pw_name}"
    if version < OLDEST_POSTGRES:
        yield Finding("postgresql", "bad", f"{where}; {OLDEST_POSTGRES} or newer is needed")
    elif age > OLD_AFTER:
        yield Finding(
            "postgresql", "warning", f"{where}; its programs are {age / 86400:.0f} days old: look for an update"
        )
    else:
        yield Finding("postgresql", "good", where)


def _sockets(installation: Installation) -> Iterator[Finding]:
    folder = place.socket_folder(installation.state)
    longest = len(os.fsencode(folder)) + place.LONGEST_NAME
    good = longest <= place.LONGEST_SOCKET
    yield Finding(
        "sockets",
        "good" if good else "bad",
        f"{folder}"
        + (
            ""
            if good
            else f" is too long for sockets ({longest} octets of {place.LONGEST_SOCKET}): choose a shorter state folder"
        ),
    )


def _keys(installation: Installation) -> Iterator[Finding]:
    keys = ring.folder_of(installation.state)
    if not (keys / "generation").exists():
        yield Finding(
            "keys", "bad", f"{keys} is missing or incomplete: restore it; without it nothing stored can be read"
        )
        return
    wrong = [path for path in (keys, *sorted(keys.rglob("*"))) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    owners = {path.stat().st_uid for path in (keys, *keys.rglob("*"))}
    if wrong:
        yield Finding("keys", "bad", f"{wrong[0]} is open to others: chmod -R go= {keys}")
    elif len(owners) > 1:
        yield Finding(
            "keys", "bad", f"the files in {keys} belong to several users: chown them to the one that runs Letterlock"
        )
    else:
        yield Finding("keys", "good", f"{keys} is closed to others")


def _destruction(installation: Installation) -> Iterator[Finding]:
    keys = ring.folder_of(installation.state)
    kind, mount = _file_system(keys)
    if kind in COPY_ON_WRITE:
        sentence = f"{keys} is on {kind} ({mount}), which keeps old octets: a destroyed key may be found again"
        yield Finding("destruction", "warning", f"{sentence}; put the keys on ext4 or xfs without snapshots")
    else:
        yield Finding(
            "destruction",
            "good",
            f"{keys} is on {kind}: destroyed keys are overwritten in place; a flash disk or a snapshot below may keep them",
        )


def _file_system(path: Path) -> tuple[str, str]:
    """Type and mount point of the file system that holds ``path``."""
    device = path.stat().st_dev
    best = ("unknown", "/")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split(" ")
        try:
            if Path(mount).stat().st_dev == device:
                best = (kind, mount)
        except OSError:
            continue
    return best


def _memory(_: Installation) -> Iterator[Finding]:
    swaps = Path("/proc/swaps").read_text().splitlines()[1:]
    if swaps:
        yield Finding("swap", "warning", "swap is on: keys in memory may reach the disk; encrypt it or switch it off")
    else:
        yield Finding("swap", "good", "off")


def _clock(_: Installation) -> Iterator[Finding]:
    class Timex(ctypes.Structure):
        _fields_ = [("modes", ctypes.c_uint), ("rest", ctypes.c_ubyte * 512)]

    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(Timex(0)))
    now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    if state == _TIME_ERROR:
        yield Finding(
            "clock", "warning", f"{now}; the kernel says it is not kept by a time service: keys are destroyed by it"
        )
    elif state < 0:
        yield Finding("clock", "warning", f"{now}; whether a time service keeps it could not be found out")
    else:
        yield Finding("clock", "good", f"{now}, kept by a time service")


def _disk(installation: Installation) -> Iterator[Finding]:
    folders = [installation.state]
    if (installation.state / database_place.RECORD).exists() and not installation.settings.database.url:
        folders.append(database_place.choose(installation.state).folder)
    for folder in {folder.stat().st_dev: folder for folder in folders}.values():
        free = shutil.disk_usage(folder).free
        verdict: Verdict = "bad" if free < NO_DISK else "warning" if free < LITTLE_DISK else "good"
        more = "" if verdict == "good" else ": mail will be refused with 4xx when it is full"
        yield Finding("disk", verdict, f"{free / (1 << 30):.1f} GiB free for {folder}{more}")


def _segments(installation: Installation) -> Iterator[Finding]:
    folder = installation.state / "segments"
    if not folder.exists():
        yield Finding("segments", "good", f"{folder} is made at the first start")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield Finding("segments", "bad", f"{folder} is open to others: chmod go= {folder}")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("segments", "bad", f"{folder} cannot be written by this user")
    else:
        count = sum(1 for entry in folder.glob("*/*") if entry.is_file())
        yield Finding("segments", "good", f"{folder} has {count} files")


def _ports(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    wanted = [*settings.smtp.listen, *settings.smtp.tls_listen, *settings.reinject.listen, settings.http.status]
    for listen in wanted:
        if installation.running is not None:
            reached = _reaches("127.0.0.1" if listen.host in ("*", "0.0.0.0") else listen.host, listen.port)  # noqa: S104 - compared, not bound
            yield Finding(
                "port", "good" if reached else "bad", f"{listen} " + ("answers" if reached else "does not answer")
            )
            continue
        fault = _cannot_bind("" if listen.host == "*" else listen.host, listen.port)
        yield Finding(
            "port", "bad" if fault else "good", f"{listen} " + (f"cannot be used: {fault}" if fault else "is free")
        )


def _certificate(installation: Installation) -> Iterator[Finding]:
    smtp = installation.settings.smtp
    if not smtp.certificate:
        yield Finding("certificate", "good", "none: mail is taken without TLS")
        return
    try:
        ServerTls(smtp.certificate, smtp.key).load()
    except CertificateUnusable as fault:
        yield Finding("certificate", "bad", fault.public)
        return
    first = (
        Path(smtp.certificate).read_text(encoding="latin-1").partition(ssl.PEM_HEADER)[2].partition(ssl.PEM_FOOTER)[0]
    )
    found = parse(ssl.PEM_cert_to_DER_cert(f"{ssl.PEM_HEADER}{first}{ssl.PEM_FOOTER}"))
    now, begin, end = time.time(), found.not_before.timestamp(), found.not_after.timestamp()
    until = f"{smtp.certificate} with its key, valid until {found.not_after:%Y-%m-%d}"
    if now < begin:
        yield Finding("certificate", "bad", f"{smtp.certificate} is valid from {found.not_before:%Y-%m-%d} on only")
    elif now > end:
        yield Finding("certificate", "bad", f"{smtp.certificate} ended on {found.not_after:%Y-%m-%d}: renew it")
    elif end - now < ENDS_SOON:
        yield Finding("certificate", "warning", f"{until}: renew it")
    else:
        yield Finding("certificate", "good", until)


def _reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        return False
    return True


def _cannot_bind(host: str, port: int) -> str:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return ""
    except OSError as fault:
        return fault.strerror or str(fault)


CHECKS: tuple[Check, ...] = (
    _isolation,
    _algorithms,
    _processes,
    _postgres,
    _sockets,
    _keys,
    _destruction,
    _memory,
    _clock,
    _disk,
    _segments,
    _ports,
    _certificate,
)
