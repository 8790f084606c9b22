"""Errors of backups.

BackupError (node.errors.NodeError)
├── NotABackup      40091  another kind of file, or another version of the format
├── BackupDamaged   40092  changed or cut off; nothing of it was put in place
├── BackupUnsafe    40093  it holds what no backup of ours holds
├── BackupSealed    40191  the passphrase does not open it
├── HomeTaken       40991  something is already where the home should be restored to
├── FileTaken       40992  the file that should hold the backup holds something else
└── HomeChanged     50391  the home changed in a way that makes the backup useless
"""

from node.errors import NodeError


class BackupError(NodeError):
    """A backup cannot be made or restored."""

    code = 50091
    hint = "See docs/decisions/backup.md."


class NotABackup(BackupError):
    code = 40091
    hint = "Name a file that `pagi backup` made; a newer format needs the newer program that made it."


class BackupDamaged(BackupError):
    code = 40092
    hint = "Nothing was restored. Copy the file again from where it was kept, or use an older backup."


class BackupUnsafe(BackupError):
    code = 40093
    hint = "Nothing was restored. `pagi backup` does not make such files: ask whoever gave it to you."


class BackupSealed(BackupError):
    code = 40191
    hint = "Try the passphrase again: it is the one that was given to `pagi backup`, not that of the twin's key."


class HomeTaken(BackupError):
    code = 40991
    hint = "Name a folder that does not exist yet with --home; nothing that is there is ever replaced."


class FileTaken(BackupError):
    code = 40992
    hint = "Name another file: only an older backup is replaced."


class HomeChanged(BackupError):
    code = 50391
    hint = "Run `pagi backup` again."
