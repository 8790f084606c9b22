"""Errors of the memory room.

PagiError
└── MemoryRoomError             40064
    ├── BadMemory               40063
    ├── BadPeriod               40036
    ├── NothingNamed            40038
    ├── OwnersAlone             40336
    ├── MemoryUnknown           40436
    ├── PrivacyFixed            40936
    └── MemoryTooLarge          41303
"""

from identity.errors import PagiError


class MemoryRoomError(PagiError):
    """What the caller gave cannot be kept or looked for."""

    code = 40064
    hint = "Correct the request."


class BadMemory(MemoryRoomError):
    code = 40063
    hint = "Give some text, a kind of working, episodic or semantic, and a namespace such as private, ask or shared."


class BadPeriod(MemoryRoomError):
    code = 40036
    hint = 'Name a time such as "yesterday", "last Tuesday", "in May", "two weeks ago" or "2026-05-14".'


class NothingNamed(MemoryRoomError):
    code = 40038
    hint = "Say what to forget: ids, a query, a namespace, a session, a source or a span of time."


class OwnersAlone(MemoryRoomError):
    """A namespace that only the owner writes."""

    code = 40336
    hint = "Write it yourself, with `pagi memory add --namespace soul`; the twin and what it learns never may."


class MemoryUnknown(MemoryRoomError):
    code = 40436
    hint = "`pagi memory list` has the ids."


class PrivacyFixed(MemoryRoomError):
    code = 40936
    hint = "private, ask and shared always mean what their names say. Use or make another namespace."


class MemoryTooLarge(MemoryRoomError):
    code = 41303
    hint = "Split it: at most 64 KiB of text, 16 tags of 64 characters, and 1000 memories at once."
