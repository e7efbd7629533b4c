"""Waiting for a process to end, without waiting for its status: that is its owner's.

Standards
    pidfd_open(2): the descriptor is readable once the process has ended.
"""

from __future__ import annotations

import asyncio
import os


async def wait_ended(pid: int) -> None:
    """Until the process ``pid`` has ended, or at once when there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def wait_readable(descriptor: int) -> None:
    """Until there is something to read at ``descriptor``, or its end."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)


def _settle(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
