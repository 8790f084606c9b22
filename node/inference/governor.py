"""The governor: what models may be used for, checked before each call, counted after it.

Three scopes (day, session, twin) with three limits each (tokens, time, money):

    ok           there is room for the call
    throttled    from `throttle_at` of a limit on, or without room for this call: nothing new begins, so that what is
                 under way can end
    critical     a limit is used up

A call that costs nothing is not held back by a limit of money. Room is taken with the check, before anything is
awaited, so that calls in parallel cannot all have the last of it. A call that can cost money is on disk before it is
made (`storage/usage.py`); the rest is counted when it ends.
"""

import logging
import sqlite3
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Self

from node.clock import NowMs, now_ms
from node.config import BudgetConfig, BudgetLimits
from node.inference.engine import ChatRequest
from node.inference.usage import FREE, Price, Used, prompt_guess
from storage import usage
from storage.database import Database
from storage.errors import StorageError
from storage.page import Page
from storage.usage import OpenCall, Sums, UsageRow

logger = logging.getLogger(__name__)

State = Literal["ok", "throttled", "critical"]
Scope = Literal["day", "session", "twin"]

GOVERNOR: Final = "governor"
"""The model's name in an answer that the governor gave instead of one."""

MAX_SESSIONS_KEPT: Final = 1024
"""Sessions whose sums are kept in memory; those of others are read from the database."""

_ORDER: Final[tuple[State, ...]] = ("ok", "throttled", "critical")


@dataclass(slots=True)
class Tally:
    """What one scope has used, and beside it what the calls under way have reserved."""

    tokens: int = 0
    ms: int = 0
    micros: int = 0
    reserved_tokens: int = 0
    reserved_micros: int = 0
    calls: int = 0

    def reserve(self, tokens: int, micros: int) -> None:
        """Room for one more call."""
        self.reserved_tokens += tokens
        self.reserved_micros += micros
        self.calls += 1

    def release(self, tokens: int, micros: int) -> None:
        """One call less is under way."""
        self.reserved_tokens -= tokens
        self.reserved_micros -= micros
        self.calls -= 1

    def use(self, tokens: int, ms: int, micros: int) -> None:
        self.tokens += tokens
        self.ms += ms
        self.micros += micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Room for one call, which counts for the `day` on which it began. `id` is set where the call is on disk."""

    id: str | None
    day: str
    provider: str
    model: str
    session_id: str | None
    price: Price
    tokens: int
    micros: int
    tallies: tuple[Tally, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Why a call is not made now: `throttled` or `critical`, and which limit it is."""

    state: State
    why: str


@dataclass(slots=True)
class _Sessions:
    """The sums of the sessions that were used last."""

    kept: dict[str, Tally] = field(default_factory=dict)

    def get(self, session_id: str) -> Tally | None:
        tally = self.kept.pop(session_id, None)
        if tally is not None:
            self.kept[session_id] = tally
        return tally

    def put(self, session_id: str, sums: Sums) -> None:
        self.kept.setdefault(session_id, _tally(sums))
        idle = [known for known, tally in self.kept.items() if not tally.calls]
        for known in idle[: max(0, len(self.kept) - MAX_SESSIONS_KEPT)]:
            del self.kept[known]


class Governor:
    """Admits calls and counts them. Made by `load`; used from one asyncio loop."""

    def __init__(self, database: Database, config: BudgetConfig, *, twin: Sums, now: NowMs) -> None:
        self._database = database
        self._config = config
        self._now = now
        self._twin = _tally(twin)
        self._day = ""
        self._today = Tally()
        self._sessions = _Sessions()
        self._unsaved: list[tuple[UsageRow, str | None, str | None]] = []

    @classmethod
    async def load(cls, database: Database, config: BudgetConfig, *, now: NowMs = now_ms) -> Self:
        """With what was used before; calls that a crash cut off count as if they had used all that they could."""
        left = await database.write(lambda conn: usage.count_interrupted(conn, now_ms=now()))
        if left:
            logger.warning("%d calls to providers were cut off by a crash, and count with the most they can cost", left)
        governor = cls(database, config, twin=await database.read(usage.sums_of_twin), now=now)
        governor._day = governor._date()
        governor._today = _tally(await database.read(lambda conn: usage.sums_of_day(conn, governor._day)))
        return governor

    @property
    def throttle_at(self) -> float:
        """The share of a limit from which on nothing new begins."""
        return self._config.throttle_at

    async def check(self, session_id: str | None = None) -> State:
        """Whether a call that costs something could be made now."""
        held = self._held(await self._scopes(session_id), 0, 0, priced=True)
        return held.state if held is not None else "ok"

    async def admit(
        self, request: ChatRequest, *, provider: str, model: str, price: Price = FREE
    ) -> Reservation | Held:
        """Room for one call, or why there is none. Every reservation ends in `settle`."""
        scopes = await self._scopes(request.session_id)
        prompt = prompt_guess(request)
        tokens, micros = prompt + request.max_tokens, price.micros(prompt, request.max_tokens)
        if held := self._held(scopes, tokens, micros, priced=not price.free):
            return held
        for tally in scopes.values():  # nothing is awaited between the check and here
            tally.reserve(tokens, micros)
        reservation = Reservation(
            id=None if price.free else uuid.uuid4().hex,
            day=self._day,
            provider=provider,
            model=model,
            session_id=request.session_id,
            price=price,
            tokens=tokens,
            micros=micros,
            tallies=tuple(scopes.values()),
        )
        if reservation.id is not None:
            await self._write_open(reservation, reservation.id)
        return reservation

    async def settle(self, reservation: Reservation, used: Used) -> None:
        """Count what a call really used, in the place of what was reserved. It is on disk when this returns, unless the
        disk refuses: then it is kept for the next time, and counts already."""
        micros = reservation.price.micros(used.prompt_tokens, used.completion_tokens)
        tokens = used.prompt_tokens + used.completion_tokens
        for tally in reservation.tallies:
            tally.release(reservation.tokens, reservation.micros)
            tally.use(tokens, used.ms, micros)
        row = UsageRow(
            day=reservation.day,
            provider=reservation.provider,
            model=reservation.model,
            failed=int(used.failed),
            prompt_tokens=used.prompt_tokens,
            cached_tokens=used.cached_tokens,
            completion_tokens=used.completion_tokens,
            ms=used.ms,
            micros=micros,
        )
        self._unsaved.append((row, reservation.session_id, reservation.id))
        await self._save()

    async def tallies(self, session_id: str | None = None) -> dict[Scope, tuple[Tally, BudgetLimits]]:
        """What each scope has used, and its limits."""
        scopes = await self._scopes(session_id)
        return {scope: (tally, self._limits(scope)) for scope, tally in scopes.items()}

    async def rows(self, limit: int, after: str | None) -> Page[UsageRow]:
        """What was used, by day, provider and model. Raises BadCursor."""
        return await self._database.read(lambda conn: usage.rows(conn, limit=limit, after=after))

    def _limits(self, scope: Scope) -> BudgetLimits:
        limits: BudgetLimits = getattr(self._config, scope)
        return limits

    def _held(self, scopes: dict[Scope, Tally], tokens: int, micros: int, *, priced: bool) -> Held | None:
        """The worst of what stands against a call that wants so much more."""
        found: list[Held] = []
        for scope, tally in scopes.items():
            limits = self._limits(scope)
            for what, used, more, limit in (
                ("tokens", tally.tokens, tally.reserved_tokens + tokens, limits.tokens),
                ("seconds", tally.ms / 1000, 0, limits.seconds),
                ("money", tally.micros / 1e6, (tally.reserved_micros + micros) / 1e6, limits.money if priced else None),
            ):
                if limit is not None and (state := self._judged(used, more, limit)) != "ok":
                    room = "" if state == "critical" or not more else f", and {more:.6g} more may be needed"
                    found.append(Held(state, f"{used:.6g} of {limit:.6g} {what} of the {scope} are used{room}"))
        return max(found, key=lambda held: _ORDER.index(held.state), default=None)

    def _judged(self, used: float, more: float, limit: float) -> State:
        if used >= limit:
            return "critical"
        return "throttled" if used >= self._config.throttle_at * limit or used + more > limit else "ok"

    async def _scopes(self, session_id: str | None) -> dict[Scope, Tally]:
        session: Tally | None = None
        if session_id is not None and (session := self._sessions.get(session_id)) is None:
            sums = await self._database.read(lambda conn: usage.sums_of_session(conn, session_id))
            self._sessions.put(session_id, sums)
            session = self._sessions.get(session_id)
        while (day := self._date()) != self._day:  # read, for a clock that was set back comes to a day once more
            sums = await self._database.read(lambda conn, day=day: usage.sums_of_day(conn, day))  # type: ignore[misc]
            if day != self._day:  # nobody else was faster
                self._day, self._today = day, _tally(sums)
        scopes: dict[Scope, Tally] = {"day": self._today, "twin": self._twin}
        if session is not None:
            scopes["session"] = session
        return scopes

    async def _write_open(self, reservation: Reservation, call_id: str) -> None:
        call = OpenCall(
            id=call_id,
            day=reservation.day,
            session_id=reservation.session_id,
            provider=reservation.provider,
            model=reservation.model,
            tokens=reservation.tokens,
            micros=reservation.micros,
        )
        try:
            await self._database.write(lambda conn: usage.open_call(conn, call))
        except BaseException as error:
            for tally in reservation.tallies:
                tally.release(reservation.tokens, reservation.micros)
            if not isinstance(error, StorageError):  # the caller has gone, which takes no write back
                with suppress(StorageError):
                    await self._database.write(lambda conn: usage.forget_call(conn, call_id))
            raise

    async def _save(self) -> None:
        counted, self._unsaved = self._unsaved, []
        now = self._now()

        def write(conn: sqlite3.Connection) -> None:
            for row, session_id, call_id in counted:
                usage.count(conn, row, session_id=session_id, call_id=call_id, now_ms=now)

        try:
            await self._database.write(write)
        except StorageError as error:
            logger.error("what a model call used could not be stored, and is kept for later: %s", error)
            self._unsaved = counted + self._unsaved

    def _date(self) -> str:
        return datetime.fromtimestamp(self._now() / 1000, UTC).date().isoformat()


def _tally(sums: Sums) -> Tally:
    return Tally(sums.tokens, sums.ms, sums.micros)
