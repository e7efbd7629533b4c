"""Users of this machine: which of them is an administrator, by what the kernel says of the socket's other end.

Guarantees
    Admitted are the installation's own user, root, and the members of the group letterlock-admin (their primary group
    or a supplementary one, as the system's user database has it now). The principal is ``local:`` and the user's name,
    so the audit trail names a person, not a program.

Standards
    unix(7) (SO_PEERCRED), getgrouplist(3).

Raises
    NotAdmitted.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from letterlock.config.sockets import ADMIN_GROUP
from letterlock.doorkeeper.errors import NotAdmitted

_CREDENTIALS = struct.Struct("3i")


class Peer(NamedTuple):
    """The process at the other end of a unix socket when it connected."""

    pid: int
    uid: int
    gid: int


class User(NamedTuple):
    """A user of this machine. ``groups``: names of all groups."""

    name: str
    groups: frozenset[str]


def peer_of(channel: socket.socket) -> Peer:
    """Who connected."""
    return Peer._make(_CREDENTIALS.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def user_of(uid: int) -> User:
    """The user's name and groups; a number as name and no group when the system does not know it."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(f"uid-{uid}", frozenset())
    names = set()
    for group in os.getgrouplist(entry.pw_name, entry.pw_gid):
        try:
            names.add(grp.getgrgid(group).gr_name)
        except KeyError:
            continue
    return User(entry.pw_name, frozenset(names))


def admit(peer: Peer, *, own_uid: int, look_up: Callable[[int], User] = user_of) -> str:
    """The principal of an administrator of this machine. Raises NotAdmitted."""
    user = look_up(peer.uid)
    if peer.uid in (own_uid, 0) or ADMIN_GROUP in user.groups:
        return f"local:{user.name}"
    raise NotAdmitted(
        f"You ({user.name}) may not administer this installation: "
        f"its own user, root and members of the group {ADMIN_GROUP} may.",
        detail=f"uid {peer.uid}",
    )
