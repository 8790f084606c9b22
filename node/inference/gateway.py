"""The gateway: one Engine over every model that this twin may use, in the owner's order, the local one last.

Each provider is asked a few times while it is limited, broken or silent, then the next one; never the next one once a
piece of an answer was given on. What is private goes only to those that the owner lets see it. Each call is admitted
and counted by the governor.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from itertools import count
from typing import Final

from node.inference.calling import Caller, HeldBack
from node.inference.engine import ChatRequest, ChatTurn, Completion, Engine
from node.inference.errors import BudgetExhausted, GatewayError, InferenceError, InferenceUnavailable
from node.inference.failures import Failures
from node.inference.governor import Governor
from node.inference.local import LocalModel
from node.inference.providers.errors import (
    AnswerCutOff,
    ProviderFailed,
    ProviderLimited,
    ProviderSilent,
    ProviderUnknown,
)
from node.inference.providers.provider import Provider
from node.inference.telemetry import OFF, Telemetry

LOCAL: Final = "local"
"""The local model's name among the providers."""

ATTEMPTS: Final = 3
"""Of one provider for one request."""

FIRST_PAUSE_S: Final = 0.5
"""Before the second attempt, on average; twice that before the third."""

MAX_RETRY_AFTER_S: Final = 10.0
"""A provider that wants to be left alone for longer is left alone, and the next one asked."""

RETRY_WITHIN_S: Final = 30.0
"""After that no further attempt begins: whoever was silent for so long will be so again."""

_TEST: Final = ChatRequest(turns=(ChatTurn("user", "Answer with the single word OK."),), max_tokens=16, private=False)
"""What a provider is asked to see whether it answers."""


class Gateway:
    """An Engine, and the source of it: the mind holds this and never a single model."""

    def __init__(
        self,
        local: LocalModel,
        *,
        remotes: Callable[[], Sequence[Provider]] = tuple,
        governor: Governor | None = None,
        telemetry: Telemetry = OFF,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = local
        self._remotes = remotes
        self._caller = Caller(governor=governor, telemetry=telemetry, now_s=now_s)
        self._pause = pause
        self._now_s = now_s
        self.counters: Final = self._caller.counters
        self.local: Final = Provider(
            name=LOCAL,
            kind="llama.cpp",
            engine=lambda: local.engine,
            reason=lambda: local.reason,
            sees_private=True,
            breaker=None,
        )

    @property
    def providers(self) -> tuple[Provider, ...]:
        """All that there are, in the order in which they are asked."""
        return (*self._remotes(), self.local)

    @property
    def loading(self) -> bool:
        """See ModelSource: whether the only model there will be is not there yet."""
        return self._local.loading and self.first(private=False) is None

    @property
    def reason(self) -> str | None:
        """See ModelSource."""
        return None if self.first(private=False) is not None else self._local.reason

    @property
    def name(self) -> str:
        """The model that would be asked first."""
        return engine.name if (engine := self._engine()) is not None else "none"

    @property
    def capable(self) -> bool:
        """Whether the model that would be asked first is."""
        return (engine := self._engine()) is not None and engine.capable

    @property
    def context_tokens(self) -> int:
        """Of the model that would be asked first."""
        return engine.context_tokens if (engine := self._engine()) is not None else 0

    @property
    def may_see_private(self) -> bool:
        """Whether some model that is up may be asked with private memories."""
        return self._local.loading or self.first(private=True) is not None

    def first(self, *, private: bool) -> Engine | None:
        """The engine that would be asked first with a request of that kind; None if there is none."""
        fitting = [provider for provider in self.providers if provider.sees_private or not private]
        awake = [one for one in fitting if not self.rests_s(one)]
        return next((engine for one in (*awake, *fitting) if (engine := one.engine()) is not None), None)

    def rests_s(self, provider: Provider) -> float:
        """How long a provider is still left alone; 0 while it may be asked."""
        return 0.0 if provider.breaker is None else provider.breaker.rests_s(self._now_s())

    async def ready(self) -> Engine | None:
        """See ModelSource. A provider needs no loading."""
        if self.first(private=False) is None:
            await self._local.ready()
        return self if self.first(private=False) is not None else None

    async def complete(self, request: ChatRequest, *, only: str | None = None) -> Completion:
        """See Engine; of the provider `only` where one is named. Raises GatewayError or BudgetExhausted as well."""
        async with aclosing(self._run(request, only=only, hold=True)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    return item
        raise AssertionError("a run ends with its completion")

    async def stream(self, request: ChatRequest, *, only: str | None = None) -> AsyncGenerator[str | Completion, None]:
        """See `complete`. Raises AnswerCutOff if a provider fails after its first piece."""
        async with aclosing(self._run(request, only=only, hold=False)) as items:
            async for item in items:
                yield item

    async def test(self, name: str) -> Completion:
        """Ask one provider for a word, once, even while it rests. Raises ProviderUnknown, or why it did not answer."""
        found = self._named(name)
        if not found:
            raise ProviderUnknown(f"there is no provider {name!r}")
        (provider,) = found
        if (engine := provider.engine()) is None:
            raise InferenceUnavailable(f"there is no model here: {provider.reason() or 'it is being loaded'}")
        try:
            async with aclosing(self._caller.ask(provider, engine, _TEST)) as items:
                async for item in items:
                    if isinstance(item, Completion):
                        return item
        except HeldBack as error:
            raise BudgetExhausted(error.held.why) from error
        raise AssertionError("a run ends with its completion")

    async def aclose(self) -> None:
        """The models belong to whoever opened them."""

    def _engine(self) -> Engine | None:
        return self.first(private=True) or self.first(private=False)

    async def _run(
        self, request: ChatRequest, *, only: str | None, hold: bool
    ) -> AsyncGenerator[str | Completion, None]:
        """Ask one after the other. With `hold` only the whole answer is given on, so that each may still fail."""
        failures = Failures()
        for provider in self.providers if only is None else self._named(only):
            if provider is self.local:
                await self._local.ready()
            if (engine := provider.engine()) is None:
                failures.not_asked(provider.name, provider.reason() or "is not there")
                continue
            began_s = self._now_s()
            for attempt in count(1):
                if (barred := self._barred(provider, request)) is not None:
                    failures.not_asked(provider.name, barred)
                    break
                if (resting_s := self._resting_s(provider)) is not None:
                    reason = f"rests for {resting_s:.0f} s after it failed: {provider.trouble}"
                    failures.not_asked(provider.name, reason, provider.trouble)
                    break
                shown_chars = 0
                try:
                    async with aclosing(self._caller.ask(provider, engine, request)) as items:
                        async for item in items:
                            if isinstance(item, Completion):
                                yield failures.noted(item, provider.name)
                            elif not hold:
                                shown_chars += len(item)
                                yield item
                    return
                except HeldBack as error:
                    failures.held(error.held)
                    break
                except InferenceError as error:
                    if shown_chars:
                        raise _cut_off(provider, shown_chars, error) from error
                    failures.failed(provider.name, error)
                    if not await self._is_worth_another(attempt, error, began_s):
                        break
                    self._caller.count(provider, "retries")
        if (instead := failures.throttled(shown=request.shown)) is not None:
            if not hold:
                yield instead.text
            yield instead
            return
        raise failures.error()

    def _named(self, name: str) -> tuple[Provider, ...]:
        return tuple(provider for provider in self.providers if provider.name == name)

    def _barred(self, provider: Provider, request: ChatRequest) -> str | None:
        """Why the owner does not let a provider be asked, who may have changed it since the request began."""
        found = self._named(provider.name)
        if not found:
            return "was removed meanwhile"
        return "may not see private memories" if request.private and not found[0].sees_private else None

    def _resting_s(self, provider: Provider) -> float | None:
        """How long it still rests; None if it may be asked, and then whoever asks has entered its breaker."""
        if provider.breaker is None or provider.breaker.enter(self._now_s()):
            return None
        return self.rests_s(provider)

    async def _is_worth_another(self, attempt: int, error: InferenceError, began_s: float) -> bool:
        """Whether the same provider is to be asked again, after the pause that this takes."""
        again = isinstance(error, ProviderFailed | ProviderLimited | ProviderSilent)
        if not again or attempt >= ATTEMPTS or self._now_s() - began_s > RETRY_WITHIN_S:
            return False
        pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
        if isinstance(error, ProviderLimited) and error.retry_after_s is not None:
            if error.retry_after_s > MAX_RETRY_AFTER_S:
                return False
            pause_s += error.retry_after_s
        await self._pause(pause_s)
        return True


def _cut_off(provider: Provider, shown_chars: int, error: InferenceError) -> InferenceError:
    """The error once a part was given on. One of the local model's own is not about another machine, and stays."""
    if not isinstance(error, GatewayError):
        return error
    return AnswerCutOff(f"{provider.name} failed after {shown_chars} characters of its answer: {error}")
