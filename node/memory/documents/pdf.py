"""Reading PDF: the text of each page, in the order in which the file draws it.

There is no recognition of pictures: a scanned page has no text, and is said to have none.
"""

import io
import logging
import re
from typing import Final

from node.memory.documents.errors import DocumentTooLarge, DocumentUnreadable
from node.memory.documents.sections import MAX_TITLE_CHARS, Document, Section, one_line

MAX_PAGES: Final = 5_000
"""The longest books."""

_HYPHENATED: Final = re.compile(r"(?<=[a-zà-ÿ])-\n(?=[a-zà-ÿ])")
_LINE_END: Final = re.compile(r"(?<![.!?:;\n])\n(?=[^\n•\-–*])")


def read_pdf(data: bytes) -> Document:
    """The sections of a PDF, one for each page with text. Raises DocumentUnreadable or DocumentTooLarge."""
    import pypdf  # loaded only in the process that reads
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of every flaw of a file, with the file's words
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentUnreadable("it is encrypted")
        pages = len(reader.pages)
        if pages > MAX_PAGES:
            raise DocumentTooLarge(f"it has {pages} pages; {MAX_PAGES} are taken")
        texts = [_flowing(page.extract_text() or "") for page in reader.pages]
        title = str(reader.metadata.title or "") if reader.metadata else ""
    except PyPdfError as error:
        raise DocumentUnreadable(f"it is not a PDF that can be read: {type(error).__name__}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        # What the library raises for files that are damaged in ways it does not look for.
        raise DocumentUnreadable(f"it is damaged: {type(error).__name__}") from error
    sections = tuple(
        Section((f"page {number}",), text) for number, text in enumerate(texts, 1) if len(text.split()) > 1
    )
    if pages and not sections:
        raise DocumentUnreadable("no page of it has text: it may be scanned")
    return Document(one_line(title, MAX_TITLE_CHARS), sections)


def _flowing(text: str) -> str:
    """The lines of a page as paragraphs: words that were divided are joined."""
    return _LINE_END.sub(" ", _HYPHENATED.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
