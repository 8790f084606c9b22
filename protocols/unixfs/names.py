"""Names in folders, paths, and where a symbolic link may point.

A folder that a stranger wrote ends up in a file system: what could leave its place there is refused here.
"""

from collections.abc import Sequence

from identity.cid import Cid
from identity.errors import MalformedCid
from protocols.ipld.errors import UnusablePath
from protocols.limits import MAX_ENTRY_NAME_BYTES, MAX_PATH_PARTS


def is_usable(name: str) -> bool:
    """Whether a folder may hold an entry of this name."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        return False
    try:
        return len(name.encode()) <= MAX_ENTRY_NAME_BYTES
    except UnicodeEncodeError:  # bytes of a file system that are not UTF-8, as Python shows them
        return False


def split_path(text: str) -> tuple[Cid, tuple[str, ...]]:
    """Read `CID`, `CID/folder/file` or the same behind `/ipfs/` or `ipfs://`. Raises UnusablePath."""
    rest = text.removeprefix("ipfs://").removeprefix("/ipfs/")
    root, _, path = rest.partition("/")
    try:
        cid = Cid.parse(root)
    except MalformedCid as error:
        raise UnusablePath(f"the path does not begin with a CID: {root[:80]!r}") from error
    return cid, split_names(path)


def split_names(path: str) -> tuple[str, ...]:
    """Read `folder/file`; one '/' may stand at its end. Raises UnusablePath."""
    names = tuple(path.removesuffix("/").split("/")) if path else ()
    if len(names) > MAX_PATH_PARTS:
        raise UnusablePath(f"a path of {len(names)} names; at most {MAX_PATH_PARTS} are followed")
    if not all(is_usable(name) for name in names):
        raise UnusablePath("the path holds a name that no folder holds")
    return names


def stays_inside(folder: Sequence[str], target: str) -> bool:
    """Whether a symbolic link that stands in `folder`, names from the top of what is written, never leads above that.

    '..' may stand at the beginning of the target only, where each is a step up from a real folder. Behind a name, which
    may be that of another link, it would lead elsewhere than the text says.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    return up <= len(folder) and ".." not in parts[up:]
