"""The twin's mood: from what it hears and how its work goes, fading with time, on disk.

A mood is one of feeling.MOODS with an activation from 0 to 1. It changes what is remembered first, how long and how
freely the twin speaks, and nothing else: no action is ever allowed or refused for a mood.
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.clock import NowMs, now_ms
from node.events import Event, EventBus
from node.memory.record import Recalled
from node.mind.errors import BadMood
from node.mind.perceiving.perception import Perceived
from storage import emotion as rows
from storage.database import Database

NEUTRAL: Final = "neutral"

BASELINE: Final = 0.2
"""The activation that everything fades toward."""

HALF_LIFE_S: Final = 1_800.0
"""Half of what a mood is over the baseline is gone after half an hour."""

WEIGHED_OVER: Final = 0.7
"""The activation above which working memory weighs more."""

WORKING_BONUS: Final = 0.1
"""How much more: a tenth of its weight, capped at 1."""


INPUT_SHARE: Final = 0.7
"""How much of what the twin hears goes over into its own state; the rest is what it felt before."""

TOLD_STEP: Final = 0.1
"""How far the activation moves before watchers are told again; a change of mood is always told."""

MAX_MOOD_CHARS: Final = 32
_MOOD: Final = re.compile(r"[a-z][a-z -]*")
_UNPLEASANT: Final = frozenset(("sad", "angry", "afraid", "stressed", "tired"))


@dataclass(frozen=True, slots=True)
class EmotionState:
    """A mood, and how strong it is."""

    mood: str = NEUTRAL
    activation_level: float = BASELINE


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a mood makes of an answer: `temperature` for a capable model, and the longest that it may be."""

    temperature: float
    max_tokens: int


_LIVELY: Final = {"happy": 0.3, "excited": 0.4, "curious": 0.3, "grateful": 0.2}
"""The temperature of a mood at full activation; all others speak as plainly as they can."""

_SHORT: Final = {"stressed": 0.6, "angry": 0.7, "afraid": 0.7, "tired": 0.6}
"""The share of the usual length at full activation."""

_TONE: Final = {
    "happy": "warm and light",
    "grateful": "warm",
    "excited": "lively",
    "curious": "curious; a question back is welcome",
    "sad": "gentle and quiet",
    "angry": "calm and factual",
    "afraid": "calm and reassuring, with the next step first",
    "stressed": "short and direct, the most important first",
    "tired": "short and simple",
}


def faded(state: EmotionState, seconds: float) -> EmotionState:
    """The state after some time; a mood that has come near the baseline is neutral again."""
    share = 0.5 ** (max(0.0, seconds) / HALF_LIFE_S)
    level = BASELINE + (state.activation_level - BASELINE) * share
    is_over = share < 0.5 and abs(level - BASELINE) < 0.05
    return EmotionState(NEUTRAL if is_over else state.mood, round(level, 4))


def weigh(recalled: Sequence[Recalled], state: EmotionState) -> tuple[Recalled, ...]:
    """The memories as they are or, over WEIGHED_OVER, with working memory a tenth heavier (at most 1) and the heaviest
    first."""
    if state.activation_level <= WEIGHED_OVER or all(one.kind != "working" for one in recalled):
        return tuple(recalled)
    heavier = [_heavier(one) if one.kind == "working" else one for one in recalled]
    return tuple(sorted(heavier, key=lambda one: -one.weight))


def sampling(state: EmotionState, *, usual_tokens: int = 320) -> Sampling:
    """How freely and how long the twin speaks in this mood."""
    temperature = _LIVELY.get(state.mood, 0.0) * state.activation_level
    shorter = 1 - (1 - _SHORT.get(state.mood, 1.0)) * state.activation_level
    return Sampling(round(temperature, 3), max(32, int(usual_tokens * shorter)))


def tone(state: EmotionState) -> str:
    """The mood in words, for a prompt; empty where there is nothing to say."""
    if state.mood == NEUTRAL:
        return ""
    words = _TONE.get(state.mood)
    mood = f"Your mood is {state.mood} ({state.activation_level:.1f} of 1). Do not speak about it."
    return f"{mood} Let your answer be {words}." if words else mood


def _heavier(one: Recalled) -> Recalled:
    return replace(one, weight=min(1.0, one.weight * (1 + WORKING_BONUS)), why=(*one.why, "mood"))


class Emotions:
    """The state of one twin. To be loaded once before use; between changes it fades by the clock."""

    def __init__(self, database: Database, events: EventBus, *, now: NowMs = now_ms) -> None:
        self._database = database
        self._events = events
        self._now = now
        self._felt = rows.MoodRow(NEUTRAL, BASELINE, now())
        self._told = EmotionState()
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read the state as it last was."""
        kept = await self._database.read(rows.get)
        if kept is not None:
            self._felt = kept
            self._told = self.current()

    def current(self) -> EmotionState:
        """The state now."""
        felt = EmotionState(self._felt.mood, self._felt.activation)
        return faded(felt, (self._now() - self._felt.felt_ms) / 1000)

    async def felt(self, heard: Perceived) -> EmotionState:
        """The owner has said something. What sounds like nothing changes nothing."""
        if heard.mood == NEUTRAL and heard.activation < TOLD_STEP:
            return self.current()

        def mixed(before: EmotionState) -> EmotionState:
            level = (1 - INPUT_SHARE) * before.activation_level + INPUT_SHARE * max(heard.activation, BASELINE)
            return EmotionState(heard.mood if heard.mood != NEUTRAL else before.mood, level)

        return await self._change(mixed)

    async def outcome(self, *, good: bool) -> EmotionState:
        """Work has ended well, which calms and cheers, or badly, which does not."""

        def after(before: EmotionState) -> EmotionState:
            level, is_bad = before.activation_level, before.mood in _UNPLEASANT
            if good:
                return EmotionState(before.mood, level * 0.7) if is_bad else EmotionState("happy", max(level, 0.35))
            return EmotionState(before.mood if is_bad else "stressed", level + 0.15)

        return await self._change(after)

    async def set(self, mood: str, activation_level: float) -> EmotionState:
        """The owner says how the twin feels. Raises BadMood."""
        if len(mood) > MAX_MOOD_CHARS or not _MOOD.fullmatch(mood) or not 0 <= activation_level <= 1:
            raise BadMood(f"a mood is a word of at most {MAX_MOOD_CHARS} small letters, its activation from 0 to 1")
        return await self._change(lambda _: EmotionState(mood, activation_level))

    async def _change(self, change: Callable[[EmotionState], EmotionState]) -> EmotionState:
        async with self._changing:
            after = change(self.current())
            after = EmotionState(after.mood, round(max(0.0, min(1.0, after.activation_level)), 4))
            row = rows.MoodRow(after.mood, after.activation_level, self._now())
            news = self._news(after)

            def keep(conn: sqlite3.Connection) -> None:
                rows.put(conn, row)
                if news is not None:
                    self._events.record(conn, news)

            await self._database.write(keep)
            self._felt = row
            if news is not None:
                self._told = after
                self._events.announce(news)
        return after

    def _news(self, after: EmotionState) -> Event | None:
        """The event of a change that is worth one."""
        moved = abs(after.activation_level - self._told.activation_level)
        if after.mood == self._told.mood and moved < TOLD_STEP:
            return None
        data = {"mood": after.mood, "activation_level": after.activation_level}
        return self._events.make("emotion_state_updated", after.mood, data, source="mind")
