"""What a person or a script reads: results on stdout, errors and remarks on stderr.

Text from other twins is shown with its control characters escaped: it must not drive the terminal.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from identity.errors import PagiError
from node.cli.errors import problem_document

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_CELL_CHARS: Final = 2048
"""More than any name has: a did:peer is the longest."""


def print_json(document: object) -> None:
    """One JSON document on one line."""
    print(json.dumps(document, ensure_ascii=False))


def safe(text: object) -> str:
    """Text without what a terminal would obey: escape sequences and bidirectional overrides are spelled out."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", str(text))


def one_line(text: object, width: int = 72) -> str:
    """The beginning of a text as one safe line."""
    line = " ".join(safe(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def say(text: object = "") -> None:
    """A line for the person."""
    print(safe(text))


def remark(text: str) -> None:
    """A line that is not part of the result."""
    print(safe(text), file=sys.stderr)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Rows under headings, in columns as wide as their content; what is too wide for a terminal as blocks of lines.

    DIDs and CIDs have to be whole to be copied, so nothing is cut where there is a person to read it.
    """
    cells = [[one_line("" if cell is None else cell, _CELL_CHARS) for cell in row] for row in rows]
    if not cells:
        say(empty)
        return
    headings = [heading.upper() for heading in columns]
    if sys.stdout.isatty():
        kept = [n for n in range(len(headings)) if any(row[n] for row in cells)]
        headings, cells = [headings[n] for n in kept], [[row[n] for n in kept] for row in cells]
    widths = [max(len(heading), *(len(row[n]) for row in cells)) for n, heading in enumerate(headings)]
    if sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns:
        _blocks(headings, cells)
        return
    for row in (headings, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _blocks(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """One line for each cell that says something, and an empty one between rows."""
    width = max(map(len, headings))
    for n, row in enumerate(cells):
        if n:
            print()
        for heading, cell in zip(headings, row, strict=True):
            if cell:
                print(f"{heading.ljust(width)}  {cell}")


def fail(error: PagiError, *, as_json: bool) -> None:
    """Show an error: its cause in one line and what to do; with --json the problem document on stdout."""
    document = problem_document(error)
    if as_json:
        print_json(document)
    remark(f"pagi: {one_line(document.get('detail') or document.get('title'), 400)}")
    if document.get("hint"):
        remark(f"  {one_line(document['hint'], 400)}")
