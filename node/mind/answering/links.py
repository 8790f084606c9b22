"""Links in an answer: one that the model put together is left out where it had words of others to read. Pure.

Whoever can put words before the model can ask it for a link to their host with something private in it; an image that
a view loads by itself, or a click, then gives it away. Such a link stands nowhere in what the model was given, for
whoever asked does not know the secret. A link that does stand there is shown as it is: it carries nothing out.
"""

import re
from typing import Final

LEFT_OUT: Final = "[link left out]"

_LINK: Final = re.compile(
    r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,20}:[/\\]{2}[^\s<>\"']{1,4096}"
    r"|\b(?:https?|ftp|wss?|data|javascript|mailto|tel|sms):[^\s<>\"']{1,4096}"
    r"|(?<![\w:/\\])[/\\]{2}[^\s/\\<>\"'()]{1,255}\.[^\s<>\"']{1,4096}"
    r"|\bwww\.[^\s<>\"']{1,4096}",
    re.IGNORECASE,
)
_SPACE: Final = re.compile(r"\s")

MAX_HELD_CHARS: Final = 4096
"""Of one word that is held back while it may yet be a link: what is longer is let go as it is filtered."""


def without_made_up_links(text: str, given: str | None) -> str:
    """The text without links that stand nowhere in `given`, which is all that the model had to read; None: any may."""
    if given is None:
        return text
    known = given.casefold()

    def checked(match: re.Match[str]) -> str:
        link = match[0].rstrip(".,;:!?)]*_`")
        return match[0] if link.casefold() in known else LEFT_OUT + match[0][len(link) :]

    return _LINK.sub(checked, text)


class LinkFilter:
    """The same for a text that comes in pieces: a word is let go once it is whole."""

    def __init__(self, given: str | None) -> None:
        self._given = given
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown after this piece."""
        self._held += piece
        spaces = [match.end() for match in _SPACE.finditer(self._held)]
        ready = spaces[-1] if spaces else len(self._held) if len(self._held) > MAX_HELD_CHARS else 0
        shown, self._held = self._held[:ready], self._held[ready:]
        return without_made_up_links(shown, self._given)

    def end(self) -> str:
        """What is left at the end."""
        shown, self._held = self._held, ""
        return without_made_up_links(shown, self._given)
