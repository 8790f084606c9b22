"""What a memory weighs beside its likeness to a query. Pure.

The likeness leads: everything else together is less than what tells a good match from a poor one, so it orders what is
about equally alike. The figures were chosen with `scripts/bench longmem` and `recall`: docs/decisions/memory.md.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from node.memory.record import HEART, PRIVATE, Recalled
from node.memory.wording import coverage

RECENCY: Final = 0.03
"""For what happened this moment; half of it after the half-life."""

IMPORTANCE: Final = 0.06
"""Between the middling and the most important, and as much down to the least."""

OUTCOME: Final = {"good": 0.03, "bad": -0.03}

SAME_MOOD: Final = 0.02

SAME_SESSION: Final = 0.02

COVERAGE: Final = 0.15
"""For a memory that has every word of the query that says something: an embedder takes one relative for another."""

OF_ONESELF: Final = 0.1
"""For what the owner told or did, where they ask of themselves: documents are many, and likeness takes any job for
theirs."""

OWN_PLACES: Final = (PRIVATE, HEART)
"""Where what the owner told is, and their conversations."""

RARE_WORDS: Final = 0.5
"""For a memory that holds all the rare words, or the very phrase, that the query asks for."""

ASKED_TIME: Final = 1.0
"""For what happened in the time that the query asks about: likeness to such a question says nothing."""

_DAY_MS: Final = 86_400_000
_DATED_FROM_DAYS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the weights depend on besides the memory: `wanted` are the stems of the query, `half_life_days` is of the
    recency, mood and session are the present ones. `of_oneself`: the owner asks, in words such as `my`."""

    wanted: frozenset[str]
    now_ms: int
    half_life_days: float
    mood: str | None = None
    session_id: str | None = None
    of_oneself: bool = False


@dataclass(frozen=True, slots=True)
class Signs:
    """How a memory was found besides its likeness: the rare words or phrases that it holds, which are so great a share
    of those that the query has, and the time that it was asked by."""

    words: tuple[str, ...] = ()
    share: float = 0.0
    time: str | None = None


def weighed(memory: Recalled, signs: Signs, moment: Moment) -> tuple[float, tuple[str, ...]]:
    """The weight, and in words what went into it."""
    age_days = max(0, moment.now_ms - memory.happened_ms) / _DAY_MS
    weight = (
        memory.score
        + COVERAGE * coverage(moment.wanted, memory.content)
        + RECENCY * 0.5 ** (age_days / moment.half_life_days)
    )
    why = [f"likeness {memory.score:.2f}"]
    if signs.time is not None:
        weight += ASKED_TIME
        why.append(f"happened {signs.time}")
    if signs.words:
        weight += RARE_WORDS * signs.share
        why.append(f"has {', '.join(signs.words)}")
    if moment.of_oneself and memory.namespace in OWN_PLACES:
        weight += OF_ONESELF
        why.append("yours")
    weight += IMPORTANCE * (2 * memory.importance - 1)
    if memory.importance != 0.5:
        why.append(f"importance {memory.importance:.2f}")
    if memory.outcome in OUTCOME:
        weight += OUTCOME[memory.outcome]
        why.append(f"went {'well' if memory.outcome == 'good' else 'badly'}")
    if moment.mood is not None and memory.mood == moment.mood:
        weight += SAME_MOOD
        why.append(f"same mood: {memory.mood}")
    if moment.session_id is not None and memory.session_id == moment.session_id:
        weight += SAME_SESSION
        why.append("this conversation")
    why.append(_dated(memory.happened_ms, age_days))
    return weight, tuple(why)


def _dated(happened_ms: int, age_days: float) -> str:
    return "recent" if age_days < _DATED_FROM_DAYS else f"of {datetime.fromtimestamp(happened_ms / 1000, UTC):%Y-%m-%d}"
