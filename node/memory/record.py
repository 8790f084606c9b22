"""What is remembered and what comes back, with the bounds of both."""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from node.memory.errors import BadMemory, MemoryTooLarge

Kind = Literal["working", "episodic", "semantic"]
Role = Literal["user", "assistant", "system"]

PRIVATE: Final = "private"
"""Never leaves this twin. What does not say its namespace is private, and so is a namespace that nobody described."""

ASK: Final = "ask"
"""Leaves after the owner's approval."""

SHARED: Final = "shared"
"""May be used in answers to other twins, and is what the advertised topics are made from."""

MAX_CONTENT_BYTES: Final = 65_536
"""Ten thousand words. More is an artifact: it gets a CID, and a memory names it."""

MAX_TAGS: Final = 16
MAX_TAG_CHARS: Final = 64
MAX_LABEL_CHARS: Final = 256
"""Of a source or a session id."""

MAX_AT_ONCE: Final = 1000
"""Memories in one transaction: others that write wait for it."""

_NAMESPACE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A memory to keep. Raises BadMemory or MemoryTooLarge as it is made."""

    kind: Kind
    content: str
    namespace: str = PRIVATE
    role: Role | None = None
    session_id: str | None = None
    tags: tuple[str, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise BadMemory(f"no such kind of memory: {self.kind!r}")
        if self.role is not None and self.role not in get_args(Role):
            raise BadMemory(f"no such role: {self.role!r}")
        checked_namespace(self.namespace)
        if not self.content.strip():
            raise BadMemory("the memory is empty")
        if size_of(self.content) > MAX_CONTENT_BYTES:
            raise MemoryTooLarge(f"the memory has more than {MAX_CONTENT_BYTES} bytes")
        if len(self.tags) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARS for tag in self.tags):
            raise MemoryTooLarge(f"a memory has at most {MAX_TAGS} tags of {MAX_TAG_CHARS} characters")
        for text in (*self.tags, self.session_id, self.source):
            if text is not None and (not text.strip() or size_of(text) > 4 * MAX_LABEL_CHARS):
                raise BadMemory("a tag, a session id or a source is empty or too long")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A memory that a search found. `score` is the cosine, from -1 to 1, of its vector and the query's."""

    id: str
    kind: str
    content: str
    namespace: str
    score: float
    ts_ms: int
    tags: tuple[str, ...]
    source: str | None


def checked_namespace(name: str) -> str:
    """The name as it is. Raises BadMemory."""
    if not _NAMESPACE.fullmatch(name):
        raise BadMemory(f"not a namespace: {name[:64]!r}")
    return name


def size_of(text: str) -> int:
    """Bytes in UTF-8. Raises BadMemory for what UTF-8 cannot hold (lone surrogates)."""
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise BadMemory("the text is not valid Unicode") from error
