"""The command `pagi`: find the command, carry it out, turn errors into an exit status.

0 done, 1 failed, 2 usage, 3 the node is not running. Nothing heavy is imported here: each handler loads what it needs.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from identity.errors import PagiError
from node.cli import (
    approvals,
    artifacts,
    budget,
    chat,
    checks,
    content,
    credentials,
    dids,
    doctor,
    emotion,
    fleet,
    homes,
    identity,
    invitations,
    learning,
    look,
    mail,
    memory,
    mind,
    models,
    output,
    playbook,
    providers,
    redlines,
    tasks,
    tools,
    trust,
)
from node.cli.command import Call, Commands, Handler, add_common, home_path
from node.cli.errors import EXIT_FAILED, exit_code_of

_AREAS = (
    *(homes, identity, look, dids, doctor, mind, mail, invitations, playbook, redlines, checks, content, memory),
    *(tools, trust, artifacts),
    *(credentials, tasks),
    *(chat, approvals, models, providers, budget, learning, emotion, fleet),
)


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="pagi", description="Your twin on this machine.", allow_abbrev=False)
    add_common(parser)
    commands = Commands(parser.add_subparsers(metavar="COMMAND", required=True, title="commands"))
    for area in _AREAS:
        area.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status. argparse itself exits with 2 on wrong usage."""
    args = make_parser().parse_args(argv)
    as_json = bool(getattr(args, "json", False))
    try:
        args.json, args.home = as_json, home_path(getattr(args, "home", None))
        handler: Handler = args.handler
        status = handler(Call(args, args.home, as_json)) or 0
        sys.stdout.flush()
    except PagiError as error:
        output.fail(error, as_json=as_json)
        return exit_code_of(error)
    except KeyboardInterrupt:
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader of our output has gone (`pagi jobs | head`); Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return status
