"""``letterlock``: finds the command in the table, gives it a door where it needs one, turns its end into an exit code.

Guarantees
    Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 the system failed. An error is one sentence on standard error
    that says what to do; a traceback appears only with --debug. Only the chosen command's module is imported.

Order
    A command module has ``add_parser(subparsers)`` and ``async def run(arguments, door) -> int``; ``door`` is the Door
    of ``cli/connect.py``, or None for commands that the table marks so.

See also
    ``cli/connect.py`` (how a command gets at the database and the keys), ``cli/show.py`` (tables and JSON).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from letterlock import __version__
from letterlock.errors import LetterlockError, PermanentError, UsageError
from letterlock.supervise import place

DONE = 0
NO = 1
WRONG_USE = 2
FAILED = 3


class Command(NamedTuple):
    """One line of the table. ``door``: whether it asks the database or the keyholder for something."""

    name: str
    line: str
    door: bool = True


COMMANDS = (
    Command("init", "make a working installation in the state folder", door=False),
    Command("run", "run the gateway until SIGTERM", door=False),
    Command("doctor", "check this installation and say what is wrong", door=False),
    Command("migrate", "bring the database to this version's schema", door=False),
    Command("domain", "the domains this gateway serves"),
    Command("setting", "policy settings of the gateway, organisations, domains and users"),
    Command("certificate", "certificates and keys: import, list, show, export, why"),
    Command("ca", "the certificate authority: create, issue, revoke, requests"),
    Command("trust", "trusted root certificates"),
    Command("pki", "check a certificate offline, or many in a batch", door=False),
    Command("queue", "messages in the queue: list, show, hold, release, retry, drop"),
    Command("explain", "what would be decided about a message, without sending it"),
    Command("inspect", "what the S/MIME layers of a message are, without an installation", door=False),
    Command("audit", "verify and list the audit trail"),
    Command("keys", "the key ring: list, confirm-time"),
)


def _chosen(argv: Sequence[str]) -> str | None:
    """The command's name: the first word that is neither an option nor the value of --state."""
    words = iter(argv)
    for word in words:
        if word == "--state":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def _common_first(argv: list[str]) -> list[str]:
    """--state and --debug may stand anywhere, as people write them; argparse wants them before the command."""
    common: list[str] = []
    others: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*common, *others, word, *words]
        if word == "--state":
            common += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word == "--debug" or word.startswith("--state="):
            common.append(word)
        else:
            others.append(word)
    return [*common, *others]


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"letterlock.cli.{name}")


def make_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser of the whole command line, with the arguments of one command filled in."""
    parser = argparse.ArgumentParser(prog="letterlock", description="Email encryption gateway.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"letterlock {__version__}")
    parser.add_argument(
        "--state", metavar="DIR", help="folder of the installation (LETTERLOCK_STATE; default: ./letterlock-state)"
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for command in COMMANDS:
        if command.name == chosen:
            _load(chosen).add_parser(subparsers)
        else:
            subparsers.add_parser(command.name, help=command.line, add_help=False)
    return parser


async def _run(command: Command, arguments: argparse.Namespace) -> int:
    module = _load(command.name)
    if not command.door:
        return int(await module.run(arguments, None))
    from letterlock.cli import connect

    state = place.state_folder(arguments.state)
    place.require_installation(state)
    async with connect.connect(state) as door:
        return int(await module.run(arguments, door))


def _exit_code(fault: LetterlockError) -> int:
    if isinstance(fault, UsageError):
        return WRONG_USE
    return NO if isinstance(fault, PermanentError) else FAILED


def _complain(debug: bool, sentence: str, code: int) -> int:
    if debug:
        traceback.print_exc()
    print(f"letterlock: {sentence}", file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; the exit code."""
    words = _common_first(list(sys.argv[1:] if argv is None else argv))
    name = _chosen(words)
    debug = "--debug" in words
    try:
        arguments = make_parser(name).parse_args(words)
        command = next(command for command in COMMANDS if command.name == arguments.command)
        return asyncio.run(_run(command, arguments))
    except LetterlockError as fault:
        return _complain(debug, str(fault), _exit_code(fault))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`letterlock queue list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO
    except OSError as fault:
        named = f": {fault.filename}" if fault.filename else ""
        return _complain(debug, f"{fault.strerror or fault}{named}. Check the path and your rights to it.", FAILED)
    except Exception as fault:
        return _complain(
            debug, f"Unexpected fault ({type(fault).__name__}). Say the same with --debug and report it.", FAILED
        )


if __name__ == "__main__":
    sys.exit(main())
