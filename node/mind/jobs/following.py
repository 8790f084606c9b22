"""Following a job as it is worked on: steps, how far it is, pieces of the answer, what the owner is asked.

Observation only: a follower that is slow loses the oldest events, and whoever works never waits for one. What happened
is in the job's record; this is how it is seen while it happens.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

BUFFER: Final = 1024
"""Events kept for one slow follower: an answer of some thousand words in pieces."""

Kind = Literal["status", "step", "progress", "text", "approval", "lagged", "end"]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job, or to a part of the job that is followed.

    `status`: {status}. `step`: {n, action, input, output, ms}, before it runs (output null) and again after it.
    `progress`: {progress, doing}. `text`: {text}, a piece of the answer; {text, whole: true} is the answer itself and
    stands for all pieces before it. `approval`: {id, kind, summary}. `lagged`: {missed}. `end`: {status, answer}.
    """

    job_id: str
    kind: Kind
    data: Mapping[str, Any]


class _Follower:
    def __init__(self) -> None:
        self._events: deque[JobEvent] = deque()
        self._missed = 0
        self._arrived = asyncio.Event()

    def offer(self, event: JobEvent) -> None:
        if len(self._events) >= BUFFER:
            self._events.popleft()
            self._missed += 1
        self._events.append(event)
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[JobEvent]:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._events:
                event = self._events.popleft()
                if self._missed:
                    missed, self._missed = self._missed, 0
                    yield JobEvent(event.job_id, "lagged", {"missed": missed})
                yield event


class Followers:
    """Whoever follows a job, by the job that the owner gave."""

    def __init__(self) -> None:
        self._followers: dict[str, set[_Follower]] = {}

    def tell(self, root_id: str, event: JobEvent) -> None:
        """Something happened to `root_id` or to a part of it."""
        for follower in self._followers.get(root_id, ()):
            follower.offer(event)

    @contextmanager
    def following(self, root_id: str) -> Iterator[AsyncIterator[JobEvent]]:
        """The events of a job and its parts from now on."""
        follower = _Follower()
        self._followers.setdefault(root_id, set()).add(follower)
        try:
            yield aiter(follower)
        finally:
            self._followers[root_id].discard(follower)
            if not self._followers[root_id]:
                del self._followers[root_id]
