"""JSON of credentials: read within bounds, walked without recursion, and put into canonical form (RFC 8785)."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import rfc8785

from identity.credentials import bounds
from identity.credentials.errors import CredentialTooLarge, MalformedCredential


def read_json(data: bytes | str) -> Any:
    """Parse UTF-8 JSON within the bounds. Raises CredentialTooLarge or MalformedCredential."""
    if len(data) > bounds.MAX_CREDENTIAL_BYTES:
        raise CredentialTooLarge(f"{len(data)} bytes; {bounds.MAX_CREDENTIAL_BYTES} are allowed")
    try:
        value = orjson.loads(data)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise MalformedCredential("not JSON") from error
    check_bounds(value)
    return value


def check_bounds(value: Any) -> None:
    """Check depth, number of values and length of texts of a parsed value. Raises CredentialTooLarge.

    The work is linear in what is there, and ends at the first bound that is passed.
    """
    level: list[Any] = [value]
    values = chars = 0
    for _ in range(bounds.MAX_DEPTH + 1):
        if not level:
            return
        below: list[Any] = []
        for one in level:
            if isinstance(one, str):
                chars += _text(one)
            elif isinstance(one, dict):
                chars += sum(_text(key) for key in one)
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
            values += 1
            if values + len(below) > bounds.MAX_VALUES or chars > bounds.MAX_CREDENTIAL_BYTES:
                raise CredentialTooLarge(f"over {bounds.MAX_VALUES} values or {bounds.MAX_CREDENTIAL_BYTES} characters")
        level = below
    if level:
        raise CredentialTooLarge(f"nested deeper than {bounds.MAX_DEPTH}")


def walk(value: Any) -> Iterator[Any]:
    """Every value inside, the value itself first. The caller has checked the bounds."""
    to_visit = [value]
    while to_visit:
        one = to_visit.pop()
        yield one
        if isinstance(one, Mapping):
            to_visit.extend(one.values())
        elif isinstance(one, list):
            to_visit.extend(one)


def canonical(value: Any) -> bytes:
    """The canonical JSON of a value (RFC 8785). Raises MalformedCredential for what has none."""
    try:
        data: bytes = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise MalformedCredential(f"it has no canonical JSON: {error}") from error
    return data


def as_list(value: Any) -> list[Any]:
    """A member that may be one or several, as a list; absent is none."""
    return [] if value is None else value if isinstance(value, list) else [value]


def text(value: Any, name: str, max_chars: int = bounds.MAX_URI_CHARS) -> str:
    """A text of bounded length without control characters. Raises MalformedCredential."""
    if not isinstance(value, str) or not 1 <= len(value) <= max_chars or not value.isprintable():
        raise MalformedCredential(f"{name!r} is not a text of 1 to {max_chars} characters")
    return value


def mapping(value: Any, name: str) -> dict[str, Any]:
    """An object. Raises MalformedCredential."""
    if not isinstance(value, dict):
        raise MalformedCredential(f"{name!r} is not an object")
    return value


def objects(value: Any, name: str, most: int) -> list[dict[str, Any]]:
    """One object or a list of at most `most`. Raises MalformedCredential."""
    items = as_list(value)
    if len(items) > most:
        raise MalformedCredential(f"{name!r} has more than {most} entries")
    return [mapping(item, name) for item in items]


def _text(one: str) -> int:
    if len(one) > bounds.MAX_TEXT_CHARS:
        raise CredentialTooLarge(f"a text of {len(one)} characters; {bounds.MAX_TEXT_CHARS} are allowed")
    return len(one)


_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])",
    re.ASCII,
)


def timestamp(value: Any, name: str) -> float:
    """A `dateTimeStamp` (XML Schema 1.1, which asks for a time zone) as Unix seconds. Raises MalformedCredential."""
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise MalformedCredential(f"{name!r} is not a time with a time zone, such as 2026-01-31T12:00:00Z")
    whole, _, rest = value.partition(".")
    zone = re.search(r"(Z|[+-]..:..)\Z", value)
    assert zone is not None
    fraction = rest[: -len(zone[0])] if rest else "0"
    text = (whole if rest else value[: -len(zone[0])]) + zone[0].replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(text).timestamp() + float("0." + fraction)
    except (ValueError, OverflowError) as error:
        raise MalformedCredential(f"{name!r} names no day of the calendar") from error


def time_text(seconds: float) -> str:
    """Unix seconds as a `dateTimeStamp` in UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
