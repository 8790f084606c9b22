"""The red lines of a playbook: its settings under `ethics`, which only the owner changes.

`[ethics.red_lines] phrases = […]` and `patterns = […]` are found by rule, as the owner's own red lines are; every other
entry there is a sentence whose meaning counts. `[ethics.harm_categories] NAME = […]` are examples of a harm: they take
the place of the built-in ones of that name, and an empty list turns these off.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from node.red_lines.errors import RedLineUnusable
from node.red_lines.patterns import Pattern
from node.red_lines.plain import Phrase, Readable
from node.red_lines.red_lines import MAX_LINE_CHARS

logger = logging.getLogger(__name__)

MAX_LINES: Final = 256
"""Of one kind: each is looked for in every goal."""

_LINES: Final = "ethics.red_lines."
_HARMS: Final = "ethics.harm_categories."


class PlaybookLines:
    """What the settings say, ready to be looked for. A line that cannot be used is logged and left out."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = settings
        self._phrases = [(text, Phrase.of(text)) for text in _texts(settings.get(f"{_LINES}phrases"))]
        self._patterns = [
            (text, pattern)
            for text in _texts(settings.get(f"{_LINES}patterns"))
            if (pattern := _pattern(text)) is not None
        ]
        self.meanings = [
            text
            for key, value in settings.items()
            if key.startswith(_LINES) and key not in (f"{_LINES}phrases", f"{_LINES}patterns")
            for text in _texts(value)
        ][:MAX_LINES]
        self._harms = {
            key.removeprefix(_HARMS): _texts(value) for key, value in settings.items() if key.startswith(_HARMS)
        }

    def said_in(self, text: str) -> str | None:
        """The line that a text crosses by rule."""
        readable = Readable(text) if self._phrases else None
        for line, phrase in self._phrases:
            if readable is not None and readable.has(phrase):
                return line
        return next((line for line, pattern in self._patterns if pattern.found_in(text)), None)

    def harms(self, built_in: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
        """The examples of each category: the built-in ones, but for those that the playbook replaces."""
        return {**built_in, **self._harms}


def _texts(value: object) -> list[str]:
    """The texts of a setting: one, or a list of them; anything else is none."""
    found = value if isinstance(value, list | tuple) else [value]
    return [text for text in found if isinstance(text, str) and 0 < len(text.strip()) <= MAX_LINE_CHARS][:MAX_LINES]


def _pattern(text: str) -> Pattern | None:
    try:
        return Pattern(text)
    except RedLineUnusable as error:
        logger.warning("a red line of the playbook cannot be used: %s", error)
        return None
