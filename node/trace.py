"""The trace id of the request under way: taken over from a W3C `traceparent` header, else new."""

import re
import secrets
from contextvars import ContextVar
from typing import Final

TRACE_ID: Final[ContextVar[str | None]] = ContextVar("trace_id", default=None)
"""32 hexadecimal digits, set while a request is answered; tasks that the request starts inherit it."""

_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.{0,512})?\Z"
)
"""W3C Trace Context, section 3.2: version ff and all-zero ids are invalid, later versions may append fields."""


def trace_id_of(traceparent: str | None) -> str:
    """The caller's trace id if the header is valid, else a new one."""
    match = _TRACEPARENT.match(traceparent) if traceparent else None
    return match[1] if match else secrets.token_hex(16)
