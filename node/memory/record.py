"""What is remembered and what comes back, with the bounds of both."""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from node.clock import LAST_MS
from node.memory.errors import BadMemory, MemoryTooLarge
from storage.memories import DEFAULT_IMPORTANCE, MemoryRow

Kind = Literal["working", "episodic", "semantic"]
Role = Literal["user", "assistant", "system"]

PRIVATE: Final = "private"
"""Never leaves this twin. What does not say its namespace is private, and so is a namespace that nobody described."""

ASK: Final = "ask"
"""Leaves after the owner's approval."""

SHARED: Final = "shared"
"""May be used in answers to other twins, and is what the advertised topics are made from."""

SOUL: Final = "soul"
"""Who the twin is. Only the owner writes it."""

BODY: Final = "body"
"""The tools and the machine that the twin has. It keeps this current itself."""

HEART: Final = "heart"
"""Summaries of conversations."""

MIND: Final = "mind"
"""What the twin learnt for itself."""

MAX_CONTENT_BYTES: Final = 65_536
"""Ten thousand words. More is an artifact: it gets a CID, and a memory names it."""

MAX_TAGS: Final = 16
MAX_TAG_CHARS: Final = 64
MAX_LABEL_CHARS: Final = 256
"""Of a source or a session id."""

MAX_AT_ONCE: Final = 1000
"""Memories in one transaction: others that write wait for it."""

MAX_MOOD_CHARS: Final = 64

By = Literal["owner", "twin"]
"""Who writes a memory: the owner through the API, or the twin of its own accord."""

_NAMESPACE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A memory to keep. Raises BadMemory or MemoryTooLarge as it is made.

    `importance` and `activation` are from 0 to 1. `happened_ms` is when it happened, if that is not when it is kept.
    """

    kind: Kind
    content: str
    namespace: str = PRIVATE
    role: Role | None = None
    session_id: str | None = None
    tags: tuple[str, ...] = ()
    source: str | None = None
    importance: float = DEFAULT_IMPORTANCE
    mood: str | None = None
    activation: float | None = None
    outcome: str | None = None
    with_did: str | None = None
    expires_ms: int | None = None
    happened_ms: int | None = None

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
        for text in (self.mood, self.outcome):
            if text is not None and not 0 < len(text.strip()) <= len(text) <= MAX_MOOD_CHARS:
                raise BadMemory("a mood or an outcome is empty or too long")
        for number in (self.importance, self.activation):
            if number is not None and not 0 <= number <= 1:
                raise BadMemory("importance and activation are numbers from 0 to 1")
        for moment in (self.happened_ms, self.expires_ms):
            if moment is not None and not 0 <= moment <= LAST_MS:
                raise BadMemory("a time lies before 1970 or after 9999")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A memory that was found, and why.

    `score` is the cosine, from -1 to 1, of its vector and the query's; `weight` is what recall orders by, and `why`
    says in words what went into it. `words` are the rare words or phrases of the query that it holds, `all_words`
    whether those are all that the query has; `asked_time` is set where it happened in the time that the query asks
    about. `contradicts` are the ids of memories that say otherwise; `outdated`: one of them is newer.
    """

    id: str
    kind: str
    content: str
    namespace: str
    score: float
    ts_ms: int
    tags: tuple[str, ...]
    source: str | None
    weight: float = 0.0
    why: tuple[str, ...] = ()
    role: str | None = None
    importance: float = DEFAULT_IMPORTANCE
    mood: str | None = None
    activation: float | None = None
    outcome: str | None = None
    happened_ms: int = 0
    with_did: str | None = None
    session_id: str | None = None
    words: tuple[str, ...] = ()
    all_words: bool = False
    asked_time: bool = False
    contradicts: tuple[str, ...] = ()
    outdated: bool = False


def recalled(row: MemoryRow, score: float) -> Recalled:
    """A row as a search gives it, before anything is weighed."""
    return Recalled(
        id=row.id,
        kind=row.kind,
        content=row.content,
        namespace=row.namespace,
        score=score,
        ts_ms=row.ts_ms,
        tags=row.tags,
        source=row.source,
        weight=score,
        role=row.role,
        importance=row.importance,
        mood=row.mood,
        activation=row.activation,
        outcome=row.outcome,
        happened_ms=row.happened_ms,
        with_did=row.with_did,
        session_id=row.session_id,
    )


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
