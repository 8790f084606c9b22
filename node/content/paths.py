"""What may stand in a folder that somebody else wrote and that ends up in a file system, here or elsewhere."""

from collections.abc import Sequence

from node.content.errors import TreeRefused
from protocols import limits
from protocols.unixfs import names


def safe_names(path: str) -> tuple[str, ...]:
    """The names of a path in a tar stream; none for the folder itself.

    Raises TreeRefused if it is absolute, leads out, is too deep, or has a name that no folder holds.
    """
    if path.startswith("/"):
        raise TreeRefused(f"{path[:200]!r} is an absolute path")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if len(parts) > limits.MAX_PATH_PARTS:
        raise TreeRefused(f"{path[:200]!r} is deeper than {limits.MAX_PATH_PARTS} folders")
    for part in parts:
        check_name(part)
    return parts


def check_name(name: str) -> None:
    """Raises TreeRefused for a name that no folder may hold: one that leads out, is not UTF-8, or is too long."""
    if name == "..":
        raise TreeRefused("a path of the folder leads out of it by '..'")
    if not names.is_usable(name):
        raise TreeRefused(f"{name[:80]!r} is not UTF-8, or longer than {limits.MAX_ENTRY_NAME_BYTES} bytes")


def check_link(path: Sequence[str], target: str) -> None:
    """Raises TreeRefused for a symbolic link at `path` whose target leaves the top folder, or may leave it."""
    if not names.stays_inside(path[:-1], target):
        raise TreeRefused(f"the symbolic link {'/'.join(path)[:200]!r} leads out of the folder")
