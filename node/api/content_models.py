"""What the routes of content take and give."""

from typing import Annotated, Literal

from pydantic import Field

from node.api.wire import OneLine, PageQuery, Query, Wire
from protocols import limits

PinName = Annotated[str, Field(min_length=1, max_length=limits.MAX_PIN_NAME_CHARS), OneLine]


class AddQuery(Query):
    """How to add. `wrap` puts it into a folder under this name; `name` is what the pin is called."""

    chunker: Annotated[str, Field(pattern=r"^size-[1-9][0-9]{0,6}$", description="size-N, N bytes in a block")] = (
        "size-262144"
    )
    name: PinName | None = None
    wrap: Annotated[str, Field(min_length=1, max_length=limits.MAX_ENTRY_NAME_BYTES)] | None = None
    pin: bool = True


class ImportQuery(Query):
    """How to import. `name` is what the pins of the roots are called."""

    name: PinName | None = None
    pin: bool = True


class PathQuery(Query):
    """A path below the CID, such as `folder/file`."""

    path: str = Field(default="", max_length=limits.MAX_PATH_BYTES)


class ListQuery(PageQuery, PathQuery):
    pass


class PinsQuery(PageQuery):
    kind: Literal["recursive", "direct"] | None = None
    name: str | None = Field(default=None, max_length=limits.MAX_PIN_NAME_CHARS)


class Added(Wire):
    """`size_bytes` are those of the files, `total_bytes` those of all blocks under the CID."""

    cid: str
    size_bytes: int
    total_bytes: int


class StatOut(Wire):
    """`total_bytes` is null where the block cannot say it; `here` is whether the root block is kept here."""

    cid: str
    kind: Literal["file", "folder", "symlink", "data"]
    codec: str
    size_bytes: int
    total_bytes: int | None
    links: int
    here: bool
    target: str | None


class EntryOut(Wire):
    """An entry of a folder; `kind` and `size_bytes` are null where nobody has its root now."""

    name: str
    cid: str
    kind: Literal["file", "folder", "symlink", "data"] | None
    size_bytes: int | None
    total_bytes: int
    target: str | None


class EntryPage(Wire):
    """`cid` is that of the folder itself, at the end of the path."""

    cid: str
    items: list[EntryOut]
    next: str | None


class PinIn(Wire):
    kind: Literal["recursive", "direct"] = "recursive"
    name: PinName | None = None


class PinOut(Wire):
    cid: str
    kind: Literal["recursive", "direct"]
    name: str | None


class PinPage(Wire):
    items: list[PinOut]
    next: str | None


class Pinned(PinOut):
    """What is kept, and how much of it had to be fetched."""

    blocks: int
    size_bytes: int
    new_blocks: int
    new_bytes: int


class Unpinned(Wire):
    cid: str


class Imported(Wire):
    roots: list[str]


class CollectedOut(Wire):
    blocks: int
    size_bytes: int


class UsageOut(Wire):
    """`blocks` is null where counting them would cost too much; `detail` is how the backend is."""

    backend: Literal["embedded", "kubo"]
    detail: str
    size_bytes: int
    quota_bytes: int
    blocks: int | None
