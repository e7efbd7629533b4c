"""Who of this machine is an administrator."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from letterlock.doorkeeper.errors import NotAdmitted
from letterlock.doorkeeper.local import ADMIN_GROUP, Peer, User, admit, peer_of, user_of

USERS = {
    0: User("root", frozenset({"root"})),
    900: User("letterlock", frozenset({"letterlock"})),
    1000: User("alice", frozenset({"alice", ADMIN_GROUP})),
    1001: User("mallory", frozenset({"mallory", "letterlock", "letterlock-admins"})),
}


@pytest.mark.req("J3")
@pytest.mark.parametrize(("uid", "principal"), [(0, "local:root"), (900, "local:letterlock"), (1000, "local:alice")])
def test_admitted(uid: int, principal: str) -> None:
    assert admit(Peer(1, uid, 900), own_uid=900, look_up=USERS.__getitem__) == principal


@pytest.mark.parametrize("own_uid", [900, 0])
def test_refused(own_uid: int) -> None:
    with pytest.raises(NotAdmitted) as caught:
        admit(Peer(1, 1001, 0), own_uid=own_uid, look_up=USERS.__getitem__)
    assert "mallory" in caught.value.public
    assert ADMIN_GROUP in caught.value.public
    assert caught.value.permanent


def test_the_kernel_says_who_is_there() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == Peer(os.getpid(), os.getuid(), os.getgid())


def test_users_of_this_system() -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    found = user_of(os.getuid())
    assert found.name == name
    assert found.groups
    assert user_of(3_999_999_999 % 2**31) == User(f"uid-{3_999_999_999 % 2**31}", frozenset())
