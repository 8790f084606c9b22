"""Errors of the storage room.

StorageError                50070
├── StorageFailed           50071  the disk or SQLite refused; nothing of this call was stored
│   ├── StorageFull         50771  no space, or the quota is reached
│   └── DatabaseLocked      50371  another process holds the database
├── DatabaseClosed          50372  the node is stopping
├── DatabaseDamaged         50072  the file is no sound SQLite database
├── NewerSchema             50073  a newer version of this program wrote the file
├── ChainBroken             50074  the event log was changed or cut; `seq` is where
├── BlockMismatch           40071  a block whose bytes do not have the hash of its CID
├── BadCursor               40072  an `after` that no list gave
└── HomeError               50076
    ├── HomeBusy            40971  another process runs on this home; `pid` names it
    └── HomeUnwritable      50075
"""

from identity.errors import PagiError


class StorageError(PagiError):
    """Something that was to be kept could not be kept or read."""

    code = 50070
    hint = "Look at the log of the node."


class StorageFailed(StorageError):
    code = 50071
    hint = "Check the disk and the file system that hold the twin's home, then try again."


class StorageFull(StorageFailed):
    code = 50771
    hint = "Free space on the disk, or raise the block store's quota, then try again. Nothing was half-written."


class DatabaseLocked(StorageFailed):
    code = 50371
    hint = "Another program has the twin's node.db open for writing. Close it, then try again."


class DatabaseClosed(StorageError):
    code = 50372
    hint = "The node is stopping. Start it again, then repeat the request."


class DatabaseDamaged(StorageError):
    code = 50072
    hint = "Restore the twin's home from a backup. Keep the damaged node.db aside."


class NewerSchema(StorageError):
    code = 50073
    hint = "Install the newer version of pagi-twin that wrote this home, or name another home with --home."


class ChainBroken(StorageError):
    """The event log does not verify. `seq` is the first entry that is wrong or missing."""

    code = 50074
    hint = "Someone or something changed the event log. Compare node.db with a backup."

    def __init__(self, seq: int) -> None:
        super().__init__(f"the event log's chain breaks at entry {seq}")
        self.seq = seq


class BlockMismatch(StorageError):
    code = 40071
    hint = "The bytes do not belong to this CID. Fetch them again, from another peer."


class BadCursor(StorageError):
    code = 40072
    hint = "Use the `next` of the previous answer as `after`, unchanged."


class HomeError(StorageError):
    """The twin's folder cannot be used."""

    code = 50076
    hint = "Name another home with --home."


class HomeBusy(HomeError):
    """Another process holds this home. `pid` is its process id, or None if it could not be read."""

    code = 40971
    hint = "Stop that process, or name another home with --home."

    def __init__(self, path: object, pid: int | None) -> None:
        super().__init__(f"{path} is in use by process {pid if pid is not None else 'unknown'}")
        self.pid = pid


class HomeUnwritable(HomeError):
    code = 50075
    hint = "Make the folder writable for this user and check for free space, or name another home with --home."
