"""Errors of the command line.

PagiError
└── CliError
    ├── BadInput          40090  an argument that parses but cannot be meant
    │   └── NameUnknown   40492  neither a DID nor the name of one twin that was named
    ├── FileUnreadable    40490  a file named on the command line cannot be read
    ├── ContentMissing    40449  a part of a folder is nowhere to be had
    ├── NoPassphrase      40190  nobody can be asked, and no file was named
    │   └── NoBackupPassphrase
    ├── NodeNotRunning    50390  exit 3
    ├── NodeSilent        50490  the twin does not answer in time, or not as a twin does
    └── ApiProblem               what the twin answered: its code, hint and document
"""

from collections.abc import Mapping
from typing import Any, Final

from identity.errors import PagiError


class CliError(PagiError):
    """The command cannot be carried out."""

    code = 40090
    hint = "Put --help after the command: it shows what the command takes."


class BadInput(CliError):
    """An argument cannot be meant this way."""


class NameUnknown(BadInput):
    """A name where a DID stands, and no twin or several are called so."""

    code = 40492
    hint = "`pagi twins` lists the twins with their DIDs; a name does only for one that you named (`pagi trust show`)."


class FileUnreadable(CliError):
    """A file named on the command line cannot be read."""

    code = 40490
    hint = "Check the path and its permissions."


class ContentMissing(CliError):
    """A part of what was to be written is nowhere to be had."""

    code = 40449
    hint = "Connect to a twin that has it, then give the same command again: it goes on from there."


class NoPassphrase(CliError):
    """A new home needs a passphrase, and there is nobody to ask."""

    code = 40190
    hint = "Give --passphrase-file FILE, or say --unsealed to keep the key readable for whoever reads the file."


class NoBackupPassphrase(NoPassphrase):
    """A backup needs a passphrase, and there is nobody to ask."""

    hint = "Name a file whose first line is the passphrase with --passphrase-file FILE: a backup is always sealed."


class NodeNotRunning(CliError):
    """No twin answers for this home."""

    code = 50390
    hint = "Start it with `pagi up`, or name its home with --home."


class NodeSilent(CliError):
    """The twin's address answers too late, or is no twin."""

    code = 50490
    hint = "Look at the twin's log, or run `pagi doctor`."


class ApiProblem(CliError):
    """The twin answered with a problem document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(str(document.get("detail") or document.get("title")))
        self.document: dict[str, Any] = dict(document)


EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_RUNNING: Final = 3


def exit_code_of(error: PagiError) -> int:
    """The exit status that tells a script what happened."""
    match error:
        case NodeNotRunning():
            return EXIT_NOT_RUNNING
        case BadInput():
            return EXIT_USAGE
        case _:
            return EXIT_FAILED


def problem_document(error: PagiError) -> dict[str, Any]:
    """The error in the form that the API gives (RFC 9457); what the twin answered is passed on unchanged."""
    if isinstance(error, ApiProblem):
        return error.document
    return {
        "type": f"https://pagi.ai/problems/{error.code}",
        "title": type(error).__name__,
        "status": error.code // 100,
        "detail": str(error),
        "code": error.code,
        "hint": error.hint,
        "trace_id": None,
    }
