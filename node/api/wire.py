"""What every JSON document of the HTTP interface has in common: strict models, times, pages."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from protocols import fields
from protocols.errors import MalformedMessage
from storage.page import Page

MAX_PAGE: Final = 500
"""Bounds one answer: rows of a few kilobytes stay within some megabytes."""


class Wire(BaseModel):
    """A JSON object, exactly as the OpenAPI document says: no unknown members, no silent conversion."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )


class Query(BaseModel):
    """The query of a URL. Its values are text, so numbers are read from text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(Query):
    limit: int = Field(default=50, ge=1, le=MAX_PAGE, description="at most so many items")
    after: str | None = Field(default=None, max_length=512, description="the `next` of the page before")


def _integral(value: object) -> object:
    """JSON has one kind of number: 1.0 is the integer 1 (RFC 8259, JSON Schema 2020-12)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integral: Final = BeforeValidator(_integral)
"""Stands after the bounds, which would otherwise be missing from the OpenAPI document."""


def _line(value: str) -> str:
    try:
        return fields.line(value, "it", len(value), min_chars=0)
    except MalformedMessage as error:
        raise ValueError("has characters that cannot be seen") from error  # what pydantic makes its own error of


def many_lines(max_bytes: int) -> AfterValidator:
    """The same as `OneLine` for text with line feeds and tabs, whose length receivers count in bytes."""

    def read(value: str) -> str:
        try:
            return fields.text(value, "text", max_bytes)
        except MalformedMessage as error:
            raise ValueError(str(error)) from error

    return AfterValidator(read)


def _distinct(items: list[str]) -> list[str]:
    if len(set(items)) != len(items):
        raise ValueError("names something twice")
    return items


OneLine: Final = AfterValidator(_line)
"""For what goes out in a message: receivers refuse control characters and such as reorder what a person reads."""

Distinct: Final = AfterValidator(_distinct)
"""For lists that name each thing once."""

JsonObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]

From = TypeVar("From")
To = TypeVar("To")


def page(rows: Page[From], convert: Callable[[From], To]) -> dict[str, Any]:
    """The members `items` and `next` of a list answer."""
    return {"items": [convert(row) for row in rows.items], "next": rows.next}


def sorted_page(rows: Iterable[From], key: Callable[[From], str], query: PageQuery) -> tuple[list[From], str | None]:
    """One page of what is held in memory, in the order of its unique key, and the cursor of the next."""
    after = query.after or ""
    rest = sorted((row for row in rows if key(row) > after), key=key)
    chosen = rest[: query.limit]
    return chosen, key(chosen[-1]) if len(rest) > len(chosen) else None
