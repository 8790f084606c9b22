"""Lists by pages: the rows, and an opaque cursor for what follows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from storage.errors import BadCursor

Row = TypeVar("Row")

LAST_SEQ: Final = (1 << 63) - 1
"""The greatest row number that SQLite can hold."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of a list. `next` is the `after` of the following page, or None if this is the last."""

    items: tuple[Row, ...]
    next: str | None


def page_of(rows: Sequence[Row], limit: int, cursor: Callable[[Row], int | str]) -> Page[Row]:
    """Make a page of at most `limit` rows from a query that asked for one row more."""
    items = tuple(rows[:limit])
    return Page(items, str(cursor(items[-1])) if len(rows) > limit else None)


def position(after: str | None, *, start: int) -> int:
    """The row number in a cursor, or `start` where there is none. Raises BadCursor."""
    if after is None:
        return start
    if not after.isascii() or not after.isdigit() or len(after) > 19 or int(after) > LAST_SEQ:
        raise BadCursor("not a cursor of this list")
    return int(after)
