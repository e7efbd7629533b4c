"""As whom we run: an installation's own system user when root starts it and [run] user names one.

Guarantees
    After become() nothing is root's any more in this process and those it starts; it cannot go back (setuid(2)). The
    state folder belongs to that user from init on, so that commands of root and of the user work alike.

Raises
    UnknownUser.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from letterlock.config.sockets import admin_group
from letterlock.errors import UsageError


class UnknownUser(UsageError):
    """The user to run as does not exist."""


def _find(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise UnknownUser(
            f"[run] user is {user!r}, but there is no such user: make it with 'useradd --system {user}'."
        ) from None


def become(user: str) -> None:
    """Become ``user`` for good, when we are root and it is not empty. Raises UnknownUser."""
    if not user or os.geteuid() != 0:
        return
    found = _find(user)
    os.initgroups(user, found.pw_gid)
    group = admin_group()
    if group is not None:  # so that sockets can be given to it; to our own user it opens nothing
        os.setgroups(sorted({*os.getgroups(), group}))
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)
    os.environ["HOME"] = found.pw_dir


def give(folder: Path, user: str) -> None:
    """Make a folder just created ``user``'s, when we are root and it is not empty. Raises UnknownUser."""
    if user and os.geteuid() == 0:
        found = _find(user)
        os.chown(folder, found.pw_uid, found.pw_gid)
