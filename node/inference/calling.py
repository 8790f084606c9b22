"""One call of one provider: admitted by the governor, followed by telemetry, judged for the breaker, counted."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from node.inference.engine import ChatRequest, Completion, Engine
from node.inference.errors import GatewayError, InferenceError
from node.inference.governor import Governor, Held, Reservation
from node.inference.providers.errors import ProviderFailed, ProviderLimited, ProviderRefused, ProviderSilent
from node.inference.providers.provider import Provider
from node.inference.telemetry import Telemetry
from node.inference.usage import Used, prompt_guess, tokens_guess

REFUSED_REST_S: Final = 60.0
"""A key or a model that is not taken will not be in the next second. Changing the provider tries it at once."""

MAX_NAMES: Final = 64
"""Providers that are counted by name: the owner may make and remove more, and each name is a label for ever."""


class HeldBack(InferenceError):
    """The governor did not admit the call. Never leaves the gateway."""

    def __init__(self, held: Held) -> None:
        super().__init__(held.why)
        self.held: Final = held


class Caller:
    """Makes calls. Used from one asyncio loop."""

    def __init__(self, *, governor: Governor | None, telemetry: Telemetry, now_s: Callable[[], float]) -> None:
        self._governor = governor
        self._telemetry = telemetry
        self._now_s = now_s
        self._names: set[str] = set()
        self.counters: Final[Counter[str]] = Counter()

    async def ask(
        self, provider: Provider, engine: Engine, request: ChatRequest
    ) -> AsyncGenerator[str | Completion, None]:
        """The pieces of the answer, then the whole, once it is counted. Whoever calls has entered the breaker.

        Raises HeldBack, and what the engine raises.
        """
        model = engine.name  # asked once: a local model may be taken away after the call was admitted
        reservation = await self._admitted(provider, model, request)
        call = self._telemetry.begin(provider, model, request)
        began_s, chars = time.monotonic(), 0
        completion: Completion | None = None
        failure: BaseException | None = None
        try:
            async with aclosing(engine.stream(request)) as items:  # type: ignore[type-var]
                async for item in items:
                    if isinstance(item, Completion):
                        completion = item
                    else:
                        if not chars:
                            call.first_piece()
                        chars += len(item)
                        yield item
            if completion is None:
                raise ProviderFailed("its answer has no end")
        except BaseException as error:
            failure = error
            raise
        finally:
            self._judge(provider, failure)
            call.end(completion, failure)
            if completion is not None:
                used = Used.of(completion)
            else:
                used = _guessed(request, chars, failure, ms=int((time.monotonic() - began_s) * 1000))
            self.count(provider, "failed" if used.failed else "calls")
            self.count(provider, "prompt_tokens", used.prompt_tokens)
            self.count(provider, "completion_tokens", used.completion_tokens)
            if reservation is not None and self._governor is not None:
                await self._governor.settle(reservation, used)
        yield completion

    def count(self, provider: Provider, what: str, n: int = 1) -> None:
        """Add to what `GET /metrics` shows of a provider."""
        if provider.name not in self._names and len(self._names) >= MAX_NAMES:
            self.counters[f"inference_others_{what}"] += n
            return
        self._names.add(provider.name)
        self.counters[f"inference_{provider.name}_{what}"] += n

    async def _admitted(self, provider: Provider, model: str, request: ChatRequest) -> Reservation | None:
        """Raises HeldBack."""
        if self._governor is None:
            return None
        try:
            admitted = await self._governor.admit(request, provider=provider.name, model=model, price=provider.price)
            if isinstance(admitted, Held):
                raise HeldBack(admitted)
        except BaseException:
            if provider.breaker is not None:
                provider.breaker.left()
            raise
        return admitted

    def _judge(self, provider: Provider, failure: BaseException | None) -> None:
        """What a call's end says about the provider."""
        if provider.breaker is None:
            return
        if isinstance(failure, GatewayError):
            away_s = REFUSED_REST_S if isinstance(failure, ProviderRefused) else None
            if isinstance(failure, ProviderLimited):
                away_s = failure.retry_after_s
            provider.trouble = failure
            provider.breaker.failed(self._now_s(), away_s=away_s)
        elif failure is None or isinstance(failure, InferenceError):  # a request that it refused proves that it works
            provider.trouble = None
            provider.breaker.succeeded()
        else:
            provider.breaker.left()


def _guessed(request: ChatRequest, chars: int, failure: BaseException | None, *, ms: int) -> Used:
    """What a call used that has no count: nothing where it was refused, the prompt and what came where it was begun."""
    begun = chars or isinstance(failure, ProviderSilent) or (isinstance(failure, GatewayError) and failure.begun)
    if isinstance(failure, InferenceError) and not begun:
        return Used(ms=ms, failed=True)
    return Used(
        prompt_tokens=prompt_guess(request),
        completion_tokens=tokens_guess(chars),
        ms=ms,
        failed=isinstance(failure, Exception),
    )
