"""Where the keystore's passphrase comes from: a file, systemd's credentials, or the person at the terminal."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from identity.sealing import MAX_PASSPHRASE_CHARS, MIN_PASSPHRASE_CHARS
from node.cli.errors import BadInput, NoBackupPassphrase, NoPassphrase
from node.cli.inputs import read_text
from node.cli.output import remark

CREDENTIAL: Final = "pagi-passphrase"
"""The name of the credential in a systemd unit (systemd.exec, `LoadCredential=`)."""


def for_new_home(file: str | None, *, unsealed: bool, must_say_unsealed: bool) -> str | None:
    """The passphrase that will seal a new key, or None for a key that is not sealed.

    With no source and nobody to ask, an unsealed key needs --unsealed where `must_say_unsealed`, and is otherwise made
    with a warning. Raises NoPassphrase, BadInput or FileUnreadable.
    """
    if unsealed:
        if file is not None:
            raise BadInput("--unsealed and --passphrase-file contradict each other")
        _warn_unsealed()
        return None
    given = _from_files(file)
    if given is not None:
        return given
    if _can_ask():
        return _ask_twice(
            "A new key is made, and a passphrase seals it. Who has forgotten the passphrase has lost the key."
        )
    if must_say_unsealed:
        raise NoPassphrase("there is no terminal to ask for a passphrase")
    _warn_unsealed()
    return None


def for_existing_home(file: str | None) -> Callable[[], str | None]:
    """What the keystore calls when it is sealed: gives the passphrase, or None if nobody can be asked."""

    def passphrase() -> str | None:
        given = _from_files(file)
        if given is None and _can_ask():
            given = _ask("Passphrase: ")
        return given

    return passphrase


def for_new_backup(file: str | None) -> str:
    """The passphrase that will seal a backup. Raises NoPassphrase, BadInput or FileUnreadable."""
    given = _from_file(file) if file is not None else None
    if given is None and not _can_ask():
        raise NoBackupPassphrase("there is no terminal to ask for the backup's passphrase")
    return given or _ask_twice("A passphrase seals the backup. Who has forgotten it has lost what is in it.")


def for_backup(file: str | None) -> str:
    """The passphrase that opens a backup. Raises NoPassphrase, BadInput or FileUnreadable."""
    given = _from_file(file) if file is not None else None
    if given is None and not _can_ask():
        raise NoBackupPassphrase("there is no terminal to ask for the backup's passphrase")
    return given or _ask("Passphrase of the backup: ")


def _from_files(file: str | None) -> str | None:
    """The first line of the named file, else of the systemd credential; None if there is neither."""
    if file is None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder or not (Path(folder) / CREDENTIAL).exists():
            return None
        file = str(Path(folder) / CREDENTIAL)
    return _from_file(file)


def _from_file(file: str) -> str:
    line = read_text(file).partition("\n")[0].removesuffix("\r")
    if not line:
        raise BadInput(f"{file}: the first line should be the passphrase")
    return line


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(prompt: str) -> str:
    from getpass import getpass

    try:
        return getpass(prompt, stream=sys.stderr)
    except EOFError as error:
        raise NoPassphrase("no passphrase was given") from error


def _ask_twice(about: str) -> str:
    remark(about)
    prompt = f"Passphrase (at least {MIN_PASSPHRASE_CHARS} characters): "
    while not MIN_PASSPHRASE_CHARS <= len(first := _ask(prompt)) <= MAX_PASSPHRASE_CHARS:
        remark(f"A passphrase has {MIN_PASSPHRASE_CHARS} to {MAX_PASSPHRASE_CHARS} characters.")
    if _ask("The same again: ") != first:
        raise BadInput("the two passphrases are not the same; nothing was made")
    return first


def _warn_unsealed() -> None:
    remark("WARNING: the new key is NOT sealed: whoever can read identity.json in the home is this twin.")
    remark("         Only the file's mode (0600) guards it.")
