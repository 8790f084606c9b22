"""Single values in the answers of providers, checked. Pure."""

from typing import Final

from node.inference.providers.errors import ProviderFailed

MAX_NAME_CHARS: Final = 128
"""An id of a call, or the name of a tool: both formats allow 64."""


def count_of(value: object) -> int | None:
    """A number of tokens; None for what is none. Less than nothing would win room in a budget back."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None


def name_of(value: object) -> str:
    """An id or the name of a tool; empty where there is none yet. Raises ProviderFailed for one that is unusable."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS or not value.isprintable():
        raise ProviderFailed("a tool call of its answer has a name that is none")
    return value
