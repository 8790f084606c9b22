"""Files and standard input, as the arguments of commands name them."""

import sys
from pathlib import Path

from node.cli.errors import BadInput, FileUnreadable


def read_bytes(name: str) -> bytes:
    """The content of a file, or of standard input for `-`. Raises FileUnreadable."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        raise FileUnreadable(f"cannot read {name}: {error.strerror or error}") from error


def read_text(name: str) -> str:
    """The same as UTF-8 text. Raises FileUnreadable, or BadInput if it is no text."""
    try:
        return read_bytes(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: not UTF-8 text") from error
