"""Errors of the memory room.

PagiError
└── MemoryRoomError
    ├── BadMemory               40063
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


class MemoryTooLarge(MemoryRoomError):
    code = 41303
    hint = "Split it: at most 64 KiB of text, 16 tags of 64 characters, and 1000 memories at once."
