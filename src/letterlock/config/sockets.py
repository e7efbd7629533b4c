"""Unix sockets that stations listen on.

Standards
    unix(7).
"""

from __future__ import annotations

import socket
from pathlib import Path


def bind(path: Path) -> socket.socket:
    """A unix socket at ``path`` that only our own user and root can reach, whatever the umask."""
    path.unlink(missing_ok=True)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.bind(str(path))
    path.chmod(0o600)  # before listen: until then nobody can connect
    return channel
