"""Unix sockets that stations listen on, and who else than our own user reaches them.

Guarantees
    Where the system has no group ADMIN_GROUP, or it is not ours to hand things to, everything stays closed. Its members
    may pass a folder given to them, never list it or write to it, and use a socket given to them.

Standards
    unix(7), chown(2).
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
from pathlib import Path

ADMIN_GROUP = "letterlock-admin"
"""The group of this machine whose members may administer the installation."""


def admin_group() -> int | None:
    """The id of ADMIN_GROUP; None where there is none."""
    try:
        return grp.getgrnam(ADMIN_GROUP).gr_gid
    except KeyError:
        return None


def is_admin(uid: int) -> bool:
    """Whether a user of this machine is a member of ADMIN_GROUP, as the system's user database has it now."""
    group = admin_group()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return False
    return group is not None and group in os.getgrouplist(entry.pw_name, entry.pw_gid)


def let_admins_in(path: Path, mode: int) -> bool:
    """Give a folder or socket of ours the group ADMIN_GROUP, and only then ``mode``; False: neither could be done."""
    group = admin_group()
    if group is None:
        return False
    try:
        os.chown(path, -1, group)  # allowed to root and to the group's own members
    except PermissionError:
        return False
    path.chmod(mode)
    return True


def bind(path: Path, *, admins: bool = False) -> socket.socket:
    """A unix socket at ``path`` that only our own user and root can reach, whatever the umask; ``admins``: and those of
    ADMIN_GROUP."""
    path.unlink(missing_ok=True)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.bind(str(path))
    path.chmod(0o600)  # before listen: until then nobody can connect
    if admins:
        let_admins_in(path, 0o660)
    return channel
