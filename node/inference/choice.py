"""Which model the owner chose with `pagi model use`, for the next start: a small file beside the models.

config.toml says what is used where nothing was chosen. Whoever changes it there decides anew, so the choice holds only
while config.toml says what it said then.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from storage.files import atomic_write

_FILE: Final = "chosen.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`model` is `bundled`, `none` or the path of a file; `instead_of` is what config.toml said then."""

    model: str
    instead_of: str


def remember_choice(folder: Path, choice: Choice) -> None:
    """Keep the choice; on disk when this returns. Raises StorageError."""
    atomic_write(folder / _FILE, json.dumps(asdict(choice)).encode())


def chosen_model(folder: Path, configured: str) -> str:
    """The model to start with: what was chosen last, or `configured` if there is no choice or config.toml changed."""
    try:
        said = json.loads((folder / _FILE).read_bytes())
        choice = Choice(model=str(said["model"]), instead_of=str(said["instead_of"]))
    except (OSError, ValueError, KeyError, TypeError):
        return configured
    return choice.model if choice.instead_of == configured else configured
