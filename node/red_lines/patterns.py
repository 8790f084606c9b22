"""Regular expressions of the owner, run over text that anybody may have written.

Python's engine tries every way to match, and a short text can keep it busy for hours. This one, the Rust `regex` crate
behind JSON Schema's `pattern`, takes time in proportion to the text; what it cannot do so (back references,
look-around) it refuses.
"""

from typing import Any, Final

import jsonschema_rs

from node.red_lines.errors import RedLineUnusable

MAX_PATTERN_CHARS: Final = 256
"""One expression. Time also grows with its size, once it is compiled."""

_MAX_COMPILED_BYTES: Final = 256 * 1024
"""`(a{1000}){1000}` is short, and large once it is written out."""


class Pattern:
    """One expression. Capitals count as small letters; `^` and `$` are the ends of the text."""

    def __init__(self, expression: str) -> None:
        """Raises RedLineUnusable."""
        if not 1 <= len(expression) <= MAX_PATTERN_CHARS:
            raise RedLineUnusable(f"an expression has 1 to {MAX_PATTERN_CHARS} characters")
        options = jsonschema_rs.RegexOptions(size_limit=_MAX_COMPILED_BYTES, dfa_size_limit=_MAX_COMPILED_BYTES)
        try:
            # Compiled by itself first: what is wrong alone must not become right between our parentheses.
            jsonschema_rs.validator_for({"pattern": expression}, pattern_options=options)
            self._validator: Any = jsonschema_rs.validator_for(
                {"pattern": f"(?i:{expression})"}, pattern_options=options
            )
        except ValueError as error:
            raise RedLineUnusable(
                "the expression is wrong, or needs back references or look-around, which are not available"
            ) from error

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere in the text."""
        return bool(self._validator.is_valid(text))
