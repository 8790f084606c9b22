"""From the bytes of a document to the pieces that are each worth a memory. Pure, but for the parsers' libraries.

Parsers of HTML and PDF take hostile input in languages that are hard to read: they run in a process of their own
(worker.py), which this module is also imported by.
"""

from dataclasses import dataclass
from typing import Final

from node.memory.documents.errors import DocumentTooLarge
from node.memory.documents.kinds import DocumentKind
from node.memory.documents.plain import decoded, read_code, read_markdown, read_text
from node.memory.documents.sections import Document, Section, heading_of
from node.memory.documents.splitting import TARGET_CHARS, split_text

READER_VERSION: Final = 1
"""Raised when documents are read differently: what was read by an older one is then read again."""

MAX_DOCUMENT_BYTES: Final = 32 * 1024**2
"""A book with its pictures. Larger files are rarely text."""

MAX_PIECES: Final = 20_000
"""Sixteen million characters: three times the longest novel."""

OUT_OF_PROCESS: Final[frozenset[DocumentKind]] = frozenset({"html", "pdf"})


@dataclass(frozen=True, slots=True)
class Piece:
    """One memory's worth of a document. `heading` says where in the document it stands; it may be empty."""

    heading: str
    text: str

    @property
    def content(self) -> str:
        """What is remembered: a piece alone rarely says what it is about."""
        return f"{self.heading}: {self.text}" if self.heading else self.text


@dataclass(frozen=True, slots=True)
class Read:
    """A document as it is remembered."""

    title: str
    pieces: tuple[Piece, ...]


def read_document(data: bytes, kind: DocumentKind, name: str) -> Read:
    """Read a document of this kind. Raises DocumentUnreadable or DocumentTooLarge."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise DocumentTooLarge(f"it has {len(data)} bytes; {MAX_DOCUMENT_BYTES} are taken")
    document = _parsed(data, kind, name)
    pieces: list[Piece] = []
    for section in document.sections:
        heading = heading_of(section, document.title)
        pieces += [Piece(heading, text) for text in _cut(section)]
        if len(pieces) > MAX_PIECES:
            raise DocumentTooLarge(f"it has more than {MAX_PIECES} pieces")
    return Read(document.title, tuple(pieces))


def _parsed(data: bytes, kind: DocumentKind, name: str) -> Document:
    if kind == "pdf":
        from node.memory.documents.pdf import read_pdf

        return read_pdf(data)
    if kind == "html":
        from node.memory.documents.html import read_html

        return read_html(decoded(data))
    if kind == "markdown":
        return read_markdown(decoded(data))
    if kind == "code":
        return read_code(decoded(data), name)
    return read_text(decoded(data))


def _cut(section: Section) -> list[str]:
    """The pieces of one section. Text that keeps its lines is cut between them."""
    if not section.verbatim:
        return split_text(section.text)
    pieces: list[str] = []
    for line in section.text.split("\n"):
        line = line.rstrip()[: 2 * TARGET_CHARS]
        if pieces and len(pieces[-1]) + len(line) < 2 * TARGET_CHARS:
            pieces[-1] += f"\n{line}"
        else:
            pieces.append(line)
    return [piece.strip("\n") for piece in pieces if piece.strip()]
