"""The Range header (RFC 9110, section 14): one range of bytes. What else it may say is not obliged to be understood,
and is answered with the whole."""

import re
from typing import Final

from node.content.errors import RangeUnsatisfiable

_ONE_RANGE: Final = re.compile(r"bytes=(?:(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})?|-(?P<suffix>[0-9]{1,18}))")


def one_range(header: str | None, size_bytes: int) -> range | None:
    """The bytes that the header asks for, of a body of so many; None for the whole body.

    Raises RangeUnsatisfiable if none of them is there.
    """
    found = _ONE_RANGE.fullmatch((header or "").replace(" ", ""))
    if found is None:
        return None
    if found["suffix"] is not None:
        asked = range(max(0, size_bytes - int(found["suffix"])), size_bytes)
    elif found["last"] is not None and int(found["last"]) < int(found["first"]):
        return None
    else:
        last = int(found["last"]) if found["last"] is not None else size_bytes
        asked = range(int(found["first"]), min(last + 1, size_bytes))
    if not asked:
        raise RangeUnsatisfiable(f"there are {size_bytes} bytes, and none of them was asked for", size_bytes)
    return asked
