"""What the commands are made of: registering one, and what its handler is called with."""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.cli import output

if TYPE_CHECKING:
    from node.cli.client import Client

Subparsers = argparse._SubParsersAction  # the only name that argparse has for it
MAX_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Call:
    """One command as the person gave it. `args` has its own options."""

    args: argparse.Namespace
    home: Path
    json: bool

    def client(self) -> "Client":
        """The twin of this home. Raises NodeNotRunning if there is no sign of one."""
        from node.cli.client import Client

        return Client.of_home(self.home)

    def show(self, document: Mapping[str, Any], human: Callable[[], None]) -> None:
        """Print the result: the document with --json, else what `human` prints."""
        if self.json:
            output.print_json(document)
        else:
            human()

    def show_list(
        self, document: Mapping[str, Any], columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str
    ) -> None:
        """Print a page of a list: the document with --json, else a table and how to have the rest."""
        if self.json:
            output.print_json(document)
            return
        output.table(columns, rows, empty=empty)
        self.say_more(document)

    def say_more(self, document: Mapping[str, Any]) -> None:
        """Say how to have the rest of a list, if there is more."""
        if document.get("next"):
            output.remark(f"More with --after {document['next']}")


Handler = Callable[[Call], int | None]
"""Carries a command out; None is success, a number the exit status. Raises PagiError."""


class Commands:
    """A level of subcommands. Each has --home and --json, so that both stand before or after the command's name."""

    def __init__(self, subparsers: "Subparsers[argparse.ArgumentParser]") -> None:
        self._subparsers = subparsers

    def add(self, name: str, help: str, handler: Handler | None = None) -> argparse.ArgumentParser:  # noqa: A002
        """A new command; its parser takes further arguments."""
        parser = self._subparsers.add_parser(name, help=help, description=help, allow_abbrev=False)
        add_common(parser)
        if handler is not None:
            parser.set_defaults(handler=handler)
        return parser

    def group(self, name: str, help: str, *, usual: str | None = None) -> "Commands":  # noqa: A002
        """A command that has subcommands of its own; `usual` is the one that it stands for by itself."""
        parser = self.add(name, help)
        subparsers = parser.add_subparsers(metavar="COMMAND", required=usual is None, title="commands")
        if usual is not None:

            def by_itself(call: Call) -> int | None:
                args = subparsers.choices[usual].parse_args([], argparse.Namespace(**vars(call.args)))
                handler: Handler = subparsers.choices[usual].get_default("handler")
                return handler(replace(call, args=args))

            parser.set_defaults(handler=by_itself)
        return Commands(subparsers)


def add_common(parser: argparse.ArgumentParser) -> None:
    """The two options of every command. Absent means absent: a default here would undo what stood before."""
    parser.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS, help="the twin's home")
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document on stdout"
    )


def add_paging(parser: argparse.ArgumentParser, default: int = 50) -> None:
    """`--limit` and `--after` of a list."""
    parser.add_argument("--limit", type=bounded(1, MAX_LIMIT), default=default, metavar="N", help="at most so many")
    parser.add_argument("--after", metavar="CURSOR", help="continue where the page before ended")


def bounded(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number within bounds."""

    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be between {low} and {high}")
        return value

    return number


def paging(args: argparse.Namespace) -> dict[str, Any]:
    """The query of a list from its options."""
    return {"limit": args.limit, "after": args.after}


def home_path(given: str | None) -> Path:
    """The home to use: the option, else $PAGI_HOME, else $XDG_DATA_HOME/pagi (XDG base directories)."""
    if given or (given := os.environ.get("PAGI_HOME")):
        return Path(given).expanduser().absolute()
    return user_data() / "pagi"


def user_data() -> Path:
    """The folder of this user's data: $XDG_DATA_HOME if it is absolute, else ~/.local/share."""
    data = os.environ.get("XDG_DATA_HOME", "")
    return Path(data) if data.startswith("/") else Path.home() / ".local" / "share"
