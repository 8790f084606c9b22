"""What a document is made of, whatever kind it is: sections of text under their headings."""

from dataclasses import dataclass
from typing import Final

MAX_HEADING_CHARS: Final = 120
MAX_TITLE_CHARS: Final = 200
HEADINGS_KEPT: Final = 2
"""The nearest headings say what a piece is about; the whole path would weigh more than the piece."""


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of text. `path` are the headings above it, outermost first. `verbatim` text keeps its lines."""

    path: tuple[str, ...]
    text: str
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """What was read. `title` is empty where the document has none."""

    title: str
    sections: tuple[Section, ...]


def one_line(text: str, most_chars: int) -> str:
    """Text as a heading: one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= most_chars else line[: most_chars - 1] + "…"


def heading_of(section: Section, title: str) -> str:
    """What stands before each piece of a section: its nearest headings, or the title where it has none."""
    path = [heading for heading in section.path if heading][-HEADINGS_KEPT:]
    return one_line(" › ".join(path) or title, MAX_HEADING_CHARS)
