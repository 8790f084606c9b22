"""The gateway: whom it asks, how often, whom next, and what it says when nobody answered."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from node.inference.breaker import FAILURES
from node.inference.engine import ChatRequest, ChatTurn, Completion
from node.inference.errors import (
    AllProvidersFailed,
    BadInferenceRequest,
    GoalTooLong,
    InferenceError,
    InferenceFailed,
    InferenceUnavailable,
    RateLimited,
)
from node.inference.gateway import ATTEMPTS, MAX_RETRY_AFTER_S, Gateway
from node.inference.local import LocalModel
from node.inference.providers.errors import (
    AnswerCutOff,
    ProviderFailed,
    ProviderLimited,
    ProviderRefused,
    ProviderSilent,
    ProviderUnknown,
)
from node.inference.providers.provider import Provider
from tests.node.inference.fake import ScriptedEngine
from tests.node.inference.providers.engines import local_model, provider

HELLO = ChatRequest(turns=(ChatTurn("user", "one two three"),))
OPEN = ChatRequest(turns=HELLO.turns, private=False)

Fault = InferenceError | tuple[str, InferenceError]
"""What an engine does instead of answering: raise, or say something and then raise."""


@dataclass
class Faulty:
    """A model that has the given faults, one for each call, and then none."""

    name: str
    faults: list[Fault] = field(default_factory=list)
    capable: bool = True
    context_tokens: int = 8192
    calls: int = 0
    left: int = 0
    gate: asyncio.Event | None = None

    async def complete(self, request: ChatRequest) -> Completion:
        raise AssertionError("the gateway streams")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
        self.calls += 1
        fault = self.faults.pop(0) if self.faults else None
        try:
            if isinstance(fault, InferenceError):
                raise fault
            yield "from "
            if self.gate is not None:
                await self.gate.wait()
            if fault is not None:
                yield fault[0]
                raise fault[1]
            yield self.name
        except (GeneratorExit, asyncio.CancelledError):
            self.left += 1
            raise
        yield Completion(text=f"from {self.name}", model=self.name, prompt_tokens=3, completion_tokens=2, ms=1)

    async def aclose(self) -> None:
        pass


class Time:
    """Pauses take no time, and are remembered."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


def gateway_over(
    *engines: Faulty, local: LocalModel | None = None, time: Time | None = None
) -> tuple[Gateway, list[Provider]]:
    providers = [provider(engine.name, engine) for engine in engines]
    time = time or Time()
    gateway = Gateway(local or local_model(), remotes=lambda: providers, pause=time.pause, now_s=lambda: time.now_s)
    return gateway, providers


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))  # type: ignore[arg-type]


async def raised(gateway: Gateway, request: ChatRequest = HELLO) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        await gateway.complete(request)
    return caught.value


def test_the_first_is_asked_and_the_others_are_not() -> None:
    async def main() -> None:
        first, second = Faulty("first"), Faulty("second")
        gateway, _ = gateway_over(first, second, local=local_model(ScriptedEngine()))
        answer = await gateway.complete(HELLO)
        assert (answer.text, answer.note, second.calls) == ("from first", None, 0)
        assert (gateway.name, gateway.capable, gateway.context_tokens) == ("first", True, 8192)
        assert await gateway.ready() is gateway

    run(main)


@pytest.mark.parametrize(
    "fault", [ProviderFailed("it answered 500"), ProviderSilent("nothing"), ProviderLimited("429")]
)
def test_what_may_pass_is_tried_again_and_then_the_next_is_asked(fault: InferenceError) -> None:
    async def main() -> None:
        time = Time()
        first, second = Faulty("first", [fault] * (ATTEMPTS - 1)), Faulty("second")
        gateway, _ = gateway_over(first, second, time=time)
        assert (await gateway.complete(HELLO)).text == "from first"
        assert first.calls == ATTEMPTS
        assert [0.25 <= pause <= 0.75 for pause in time.pauses[:1]] == [True]
        assert [0.5 <= pause <= 1.5 for pause in time.pauses[1:]] == [True]
        first.faults = [fault] * ATTEMPTS
        answer = await gateway.complete(HELLO)
        assert answer.text == "from second"
        assert answer.note == f"second answered, because of first: {fault}"

    run(main)


@pytest.mark.parametrize(
    "fault",
    [ProviderRefused("it answered 401"), BadInferenceRequest("no"), GoalTooLong("long")],
    ids=lambda e: type(e).__name__,
)
def test_what_will_not_pass_is_not_tried_again(fault: InferenceError) -> None:
    async def main() -> None:
        first, second = Faulty("first", [fault] * 9), Faulty("second")
        gateway, _ = gateway_over(first, second)
        assert (await gateway.complete(HELLO)).text == "from second"
        assert first.calls == 1

    run(main)


def test_the_local_model_is_the_last() -> None:
    async def main() -> None:
        first = Faulty("first", [ProviderRefused("it answered 401")])
        gateway, _ = gateway_over(first, local=local_model(ScriptedEngine()))
        answer = await gateway.complete(HELLO)
        assert (answer.text, answer.model) == ("one two three", "scripted")
        assert answer.note == "local answered, because of first: it answered 401"

    run(main)


def test_nobody_else_is_asked_after_the_first_piece() -> None:
    async def main() -> None:
        first, second = Faulty("first", [("half", ProviderFailed("it was cut"))]), Faulty("second")
        gateway, _ = gateway_over(first, second)
        pieces: list[object] = []
        with pytest.raises(AnswerCutOff, match="first failed after 9 characters of its answer: it was cut"):
            await _collect(gateway, pieces)
        assert (pieces, first.calls, second.calls) == (["from ", "half"], 1, 0)
        first.faults = [("half", ProviderFailed("it was cut"))]
        assert (await gateway.complete(HELLO)).text == "from first", "where nothing was shown it is tried again"

    run(main)


async def _collect(gateway: Gateway, pieces: list[object]) -> None:
    async for piece in gateway.stream(HELLO):
        pieces.append(piece)  # noqa: PERF401 - those before an error count


def test_an_error_of_the_local_model_after_its_first_piece_stays_its_own() -> None:
    async def main() -> None:
        local = Faulty("local", [("half", InferenceFailed("the model broke"))])
        gateway, _ = gateway_over(Faulty("first", [ProviderRefused("401")]), local=local_model(local))
        with pytest.raises(InferenceFailed, match="the model broke"):
            _ = [piece async for piece in gateway.stream(HELLO)]

    run(main)


def test_a_stream_ends_with_the_whole() -> None:
    async def main() -> None:
        gateway, _ = gateway_over(Faulty("first", [ProviderFailed("500")]))
        *pieces, last = [item async for item in gateway.stream(HELLO)]
        assert isinstance(last, Completion)
        assert ("".join(map(str, pieces)), last.note) == ("from first", None)

    run(main)


def test_a_provider_is_left_alone_for_as_long_as_it_wants_within_a_bound() -> None:
    async def main() -> None:
        time = Time()
        first, second = Faulty("first", [ProviderLimited("429", 3.0)]), Faulty("second")
        gateway, _ = gateway_over(first, second, time=time)
        assert (await gateway.complete(HELLO)).text == "from first"
        assert 3.0 < sum(time.pauses) < 5.0
        first.faults = [ProviderLimited("429", MAX_RETRY_AFTER_S + 50)]
        assert (await gateway.complete(HELLO)).text == "from second"
        assert (await gateway.complete(HELLO)).text == "from second", "it is not even asked while it rests"
        assert first.calls == 3
        time.now_s += MAX_RETRY_AFTER_S + 50
        assert (await gateway.complete(HELLO)).text == "from first"

    run(main)


def test_one_that_keeps_failing_is_passed_over_and_found_again() -> None:
    async def main() -> None:
        time = Time()
        first, second = Faulty("first", [ProviderFailed("500")] * 100), Faulty("second")
        gateway, (slot, _) = gateway_over(first, second, time=time)
        await gateway.complete(HELLO)
        assert (first.calls, gateway.name) == (FAILURES, "second")
        answer = await gateway.complete(HELLO)
        assert first.calls == FAILURES
        assert answer.note is not None
        assert "rests for" in answer.note
        first.faults = []
        time.now_s += gateway.rests_s(slot)
        assert (await gateway.complete(HELLO)).text == "from first"
        assert slot.trouble is None

    run(main)


def test_a_request_that_is_refused_says_nothing_against_the_provider() -> None:
    async def main() -> None:
        first = Faulty("first", [GoalTooLong("long")] * 5)
        gateway, (slot,) = gateway_over(first)
        for _ in range(5):
            assert isinstance(await raised(gateway), GoalTooLong)
        assert gateway.rests_s(slot) == 0

    run(main)


def test_what_is_private_goes_only_to_those_that_may_see_it() -> None:
    async def main() -> None:
        stranger, friend = Faulty("stranger"), Faulty("friend")
        providers = [provider("stranger", stranger, sees_private=False), provider("friend", friend)]
        gateway = Gateway(local_model(), remotes=lambda: providers)
        assert (await gateway.complete(HELLO)).text == "from friend"
        assert (await gateway.complete(OPEN)).text == "from stranger"
        assert stranger.calls == 1
        assert gateway.may_see_private
        assert gateway.name == "friend", "what most requests would meet"
        del providers[1]
        assert not gateway.may_see_private
        assert await gateway.ready() is gateway
        error = await raised(gateway)
        assert isinstance(error, InferenceUnavailable)
        assert "stranger: may not see private memories; local: no model was chosen" in str(error)
        with pytest.raises(InferenceUnavailable):
            await gateway.complete(HELLO, only="stranger")
        assert stranger.calls == 1

    run(main)


@pytest.mark.parametrize("revoked", [False, True])
def test_what_the_owner_takes_back_holds_for_a_request_that_is_under_way(*, revoked: bool) -> None:
    """The first provider keeps failing; before it is asked again, the owner takes both away."""

    async def main() -> None:
        first, second = Faulty("first", [ProviderFailed("500")] * 3), Faulty("second")
        providers = [provider("first", first), provider("second", second)]

        async def meanwhile(seconds: float) -> None:
            names = [one.name for one in providers] if revoked else []
            providers[:] = [provider(name, Faulty(name), sees_private=False) for name in names]

        gateway = Gateway(local_model(ScriptedEngine()), remotes=lambda: tuple(providers), pause=meanwhile)
        answer = await gateway.complete(HELLO)
        assert (answer.model, first.calls, second.calls) == ("scripted", 1, 0)
        assert answer.note == "local answered, because of first: 500"

    run(main)


@pytest.mark.parametrize(
    ("faults", "local", "error", "says"),
    [
        ([[ProviderLimited("429")] * 3] * 2, None, RateLimited, "first: 429; second: 429; local: no model was chosen"),
        (
            [[ProviderFailed("500")] * 3, [ProviderRefused("401")]],
            None,
            AllProvidersFailed,
            "first: 500; second: 401; local: no",
        ),
        ([[ProviderFailed("500")] * 3], InferenceFailed("broke"), AllProvidersFailed, "first: 500; local: broke"),
        ([], InferenceFailed("broke"), InferenceFailed, "broke"),
        ([[GoalTooLong("a")]], GoalTooLong("b"), GoalTooLong, "b"),
        ([[BadInferenceRequest("a")]], None, BadInferenceRequest, "a"),
        ([[ProviderLimited("429")] * 3], InferenceFailed("broke"), AllProvidersFailed, "first: 429; local: broke"),
        ([], None, InferenceUnavailable, "there is no model here: no model was chosen"),
    ],
)
def test_the_error_says_why_each_did_not_answer(
    faults: Sequence[list[Fault]], local: InferenceError | None, error: type[InferenceError], says: str
) -> None:
    async def main() -> None:
        engines = [Faulty(name, list(given)) for name, given in zip(("first", "second"), faults, strict=False)]
        gateway, _ = gateway_over(*engines, local=local_model(Faulty("local", [local])) if local else None)
        caught = await raised(gateway)
        assert type(caught) is error
        assert says in str(caught)

    run(main)
    assert (RateLimited.code, InferenceUnavailable.code, AllProvidersFailed.code) == (42901, 50301, 50302)


def test_a_model_that_is_being_loaded_is_waited_for_where_nobody_else_is() -> None:
    async def main() -> None:
        local = LocalModel()
        gateway = Gateway(local)
        assert (gateway.loading, gateway.reason, gateway.name) == (True, None, "none")
        asking = asyncio.create_task(gateway.complete(HELLO))
        ready = asyncio.create_task(gateway.ready())
        await asyncio.sleep(0)
        local.settle(ScriptedEngine(), None)
        assert (await asking).text == "one two three"
        assert await ready is gateway
        assert not gateway.loading
        absent = Gateway(local_model())
        assert await absent.ready() is None
        assert absent.reason == "no model was chosen"
        loading, _ = gateway_over(Faulty("first"), local=LocalModel())
        assert (loading.loading, loading.reason) == (False, None)
        assert await loading.ready() is loading

    run(main)


def test_leaving_early_stops_the_model_and_says_nothing_against_it() -> None:
    async def main() -> None:
        first = Faulty("first", gate=asyncio.Event())
        gateway, (slot,) = gateway_over(first)
        async with aclosing(gateway.stream(HELLO)) as items:
            assert await anext(items) == "from "
        asking = asyncio.create_task(gateway.complete(HELLO))
        while first.calls < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert first.left == 2
        assert (slot.trouble, gateway.rests_s(slot)) == (None, 0)

    run(main)


def test_one_alone_can_be_asked_and_tested() -> None:
    async def main() -> None:
        first, second = Faulty("first"), Faulty("second", [ProviderRefused("401")])
        gateway, (_, slot) = gateway_over(first, second)
        assert isinstance(await _error(gateway.complete(HELLO, only="second")), AllProvidersFailed)
        assert gateway.rests_s(slot) > 0
        assert (await gateway.test("second")).text == "from second", "it is asked although it rests"
        assert (await gateway.complete(HELLO, only="second")).text == "from second"
        assert first.calls == 0
        assert isinstance(await _error(gateway.test("nobody")), ProviderUnknown)
        assert isinstance(await _error(gateway.test("local")), InferenceUnavailable)

    run(main)


async def _error(call: Awaitable[Completion]) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        await call
    return caught.value


def test_what_each_did_is_counted() -> None:
    async def main() -> None:
        first = Faulty("first", [ProviderFailed("500")])
        gateway, _ = gateway_over(first)
        await gateway.complete(HELLO)
        assert gateway.counters == {
            "inference_first_failed": 1,
            "inference_first_retries": 1,
            "inference_first_calls": 1,
            "inference_first_prompt_tokens": 3,
            "inference_first_completion_tokens": 2,
        }

    run(main)
