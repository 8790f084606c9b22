"""A twin's home folder: where each thing lies, making it, and holding it for one process.

The lock is an flock on the file `lock`, so it goes with the process that holds it, however that ends;
the process id inside is only for people.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from storage.errors import HomeBusy, HomeUnwritable

FOLDER_MODE: Final = 0o700
"""Keys and memories are the owner's alone."""


class Home:
    """The paths inside one home (DESIGN.md, "On disk"). Making the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.config_toml: Final = path / "config.toml"
        self.identity_json: Final = path / "identity.json"
        self.api_token: Final = path / "api-token"
        self.api_file: Final = path / "api"
        self.node_db: Final = path / "node.db"
        self.blocks: Final = path / "blocks"
        self.index: Final = path / "index"
        self.plugins: Final = path / "plugins"
        self.models: Final = path / "models"
        self.logs: Final = path / "logs"
        self._lock_file: Final = path / "lock"

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    @property
    def exists(self) -> bool:
        """Whether a twin lives here already."""
        return self.identity_json.exists()

    def create(self) -> None:
        """Make the folder and those inside it, mode 0700; what is there already stays. Raises HomeUnwritable.

        The mode of a folder that exists is tightened only if it is a home: it may be one that others share.
        """
        try:
            self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            for folder in (self.blocks, self.index, self.plugins, self.models, self.logs):
                folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            if self.exists and stat.S_IMODE(self.path.stat().st_mode) & 0o077:
                self.path.chmod(FOLDER_MODE)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this home for this process. Raises HomeBusy if another one has it, or HomeUnwritable."""
        try:
            fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HomeBusy(self.path, _pid_in(fd)) from error
            try:
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            except OSError as error:
                raise _unwritable(self.path, error) from error
            yield
            os.ftruncate(fd, 0)
        finally:
            os.close(fd)


def _pid_in(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _unwritable(path: Path, error: OSError) -> HomeUnwritable:
    where = error.filename if isinstance(error.filename, str) else str(path)
    return HomeUnwritable(f"{where}: {error.strerror or error}")
