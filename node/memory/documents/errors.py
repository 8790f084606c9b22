"""Errors of documents.

PagiError
└── DocumentError
    ├── DocumentUnreadable   42293  the file is damaged, encrypted, or no document of its kind
    ├── DocumentTooLarge     41393  more bytes, pages or pieces than are taken
    └── DocumentUnknown      40493  no such document was ingested
"""

from identity.errors import PagiError


class DocumentError(PagiError):
    """A document cannot be taken in."""

    code = 42294
    hint = "Give a text, Markdown, HTML, PDF or source file."


class DocumentUnreadable(DocumentError):
    code = 42293
    hint = "Open it in its own program and save it as text or PDF; a scanned PDF needs its text recognised first."


class DocumentTooLarge(DocumentError):
    code = 41393
    hint = "Split it into smaller files."


class DocumentUnknown(DocumentError):
    code = 40493
    hint = "`pagi memory documents` lists what was ingested."
