"""The governor: limits, reservations, and what a crash leaves."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.config import BudgetConfig, BudgetLimits
from node.inference.engine import ChatRequest, ChatTurn, Completion
from node.inference.errors import AllProvidersFailed, BudgetExhausted, InferenceUnavailable
from node.inference.gateway import Gateway
from node.inference.governor import GOVERNOR, Governor, Held, Reservation
from node.inference.providers.errors import ProviderFailed
from node.inference.usage import FREE, Price, Used
from storage import usage
from storage.database import Database
from storage.errors import StorageFull
from tests.node.inference.fake import ScriptedEngine
from tests.node.inference.providers.engines import local_model, provider
from tests.node.parts import Clock

PRICE = Price(prompt=1.0, answer=2.0)
"""A token of an answer costs two millionths."""


def ask(max_tokens: int = 100, session_id: str | None = None, words: int = 1) -> ChatRequest:
    return ChatRequest(turns=(ChatTurn("user", "word " * words),), max_tokens=max_tokens, session_id=session_id)


def budget(throttle_at: float = 0.9, **scopes: BudgetLimits) -> BudgetConfig:
    return BudgetConfig(throttle_at=throttle_at, **scopes)


def use(
    home: Path, test: Callable[[Governor, Database, Clock], Awaitable[None]], config: BudgetConfig | None = None
) -> None:
    async def main() -> None:
        clock = Clock()
        async with Database.open(home / "node.db") as database:
            governor = await Governor.load(database, config or BudgetConfig(), now=clock)
            await asyncio.wait_for(test(governor, database, clock), 60)

    asyncio.run(main())


async def admitted(governor: Governor, request: ChatRequest, price: Price = FREE) -> Reservation:
    found = await governor.admit(request, provider="p", model="m", price=price)
    assert isinstance(found, Reservation), found
    return found


async def held(governor: Governor, request: ChatRequest, price: Price = FREE) -> Held:
    found = await governor.admit(request, provider="p", model="m", price=price)
    assert isinstance(found, Held), found
    return found


async def spend(governor: Governor, tokens: int, *, session_id: str | None = None, ms: int = 0) -> None:
    reservation = await admitted(governor, ask(1, session_id))
    await governor.settle(reservation, Used(prompt_tokens=tokens, ms=ms))


def test_without_limits_everything_is_admitted_and_counted(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        reservation = await admitted(governor, ask(session_id="s"), PRICE)
        used = Used(prompt_tokens=10, cached_tokens=4, completion_tokens=5, ms=1200)
        await governor.settle(reservation, used)
        for scope, (tally, _) in (await governor.tallies("s")).items():
            assert (tally.tokens, tally.ms, tally.micros, tally.calls) == (15, 1200, 20, 0), scope
            assert (tally.reserved_tokens, tally.reserved_micros) == (0, 0)
        (row,) = (await governor.rows(10, None)).items
        assert (row.day, row.provider, row.model, row.calls, row.failed) == ("2027-01-15", "p", "m", 1, 0)
        assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.micros) == (10, 4, 5, 20)
        assert await governor.check("s") == "ok"

    use(tmp_path, test)


@pytest.mark.parametrize("scope", ["day", "session", "twin"])
def test_tokens_are_throttled_and_then_refused(tmp_path: Path, scope: str) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        await spend(governor, 899, session_id="s")
        assert await governor.check("s") == "ok"
        assert (await held(governor, ask(200, "s"))).state == "throttled", "there is no room for this one"
        await spend(governor, 1, session_id="s")
        assert await governor.check("s") == "throttled"
        why = (await held(governor, ask(1, "s"))).why
        assert why.startswith(f"900 of 1000 tokens of the {scope} are used, and ")
        other = await governor.check("other")
        assert other == ("ok" if scope == "session" else "throttled")
        await governor.settle(reservation, Used(prompt_tokens=150))  # what was under way may end
        assert await governor.check("s") == "critical"

    async def begun(governor: Governor, database: Database, clock: Clock) -> None:
        nonlocal reservation
        reservation = await admitted(governor, ask(1, "s"))
        await test(governor, database, clock)

    reservation: Reservation
    use(tmp_path, begun, budget(**{scope: BudgetLimits(tokens=1000)}))


def test_time_counts_too_and_a_new_day_begins_anew(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        await spend(governor, 1, ms=9_500)
        assert await governor.check() == "throttled"
        clock.advance(86_400)
        assert await governor.check() == "ok"
        await spend(governor, 1, ms=10_000)
        assert await governor.check() == "critical"
        assert [row.day for row in (await governor.rows(10, None)).items] == ["2027-01-16", "2027-01-15"]

    use(tmp_path, test, budget(day=BudgetLimits(seconds=10)))


def test_a_call_over_midnight_counts_for_the_day_on_which_it_began(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        reservation = await admitted(governor, ask(1))
        clock.advance(86_400)
        assert (await governor.tallies())["day"][0].calls == 0
        await governor.settle(reservation, Used(prompt_tokens=40))
        assert (await governor.tallies())["day"][0].tokens == 0
        assert [row.day for row in (await governor.rows(10, None)).items] == ["2027-01-15"]

    use(tmp_path, test)


def test_a_clock_that_goes_back_gives_no_second_budget_for_the_day(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        await spend(governor, 1000)
        clock.advance(86_400)
        assert await governor.check() == "ok"
        clock.advance(-86_400)
        assert await governor.check() == "critical"

    use(tmp_path, test, budget(day=BudgetLimits(tokens=1000)))


def test_a_limit_of_money_holds_back_only_what_costs_money(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        await governor.settle(await admitted(governor, ask(10), PRICE), Used(completion_tokens=500))
        assert (await held(governor, ask(1), PRICE)).state == "critical"
        assert await governor.check() == "critical"
        await admitted(governor, ask(10_000), FREE)

    use(tmp_path, test, budget(twin=BudgetLimits(money=0.001)))


def test_calls_in_parallel_cannot_all_have_the_last_of_it(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        clock.advance(86_400)  # all of them find the new day
        asked = [governor.admit(ask(100), provider="p", model="m", price=PRICE) for _ in range(50)]
        found = await asyncio.gather(*asked)
        let_in = [one for one in found if isinstance(one, Reservation)]
        assert 5 <= len(let_in) <= 9
        assert sum(one.tokens for one in let_in) <= 1000
        assert {one.state for one in found if isinstance(one, Held)} == {"throttled"}
        for one in let_in:
            await governor.settle(one, Used(prompt_tokens=1))
        await admitted(governor, ask(100))

    use(tmp_path, test, budget(day=BudgetLimits(tokens=1000)))


def test_what_was_used_is_known_after_a_restart(tmp_path: Path) -> None:
    async def before(governor: Governor, database: Database, clock: Clock) -> None:
        await spend(governor, 700, session_id="s")

    async def after(governor: Governor, database: Database, clock: Clock) -> None:
        tallies = await governor.tallies("s")
        assert {scope: tally.tokens for scope, (tally, _) in tallies.items()} == {
            "day": 700,
            "twin": 700,
            "session": 700,
        }

    use(tmp_path, before)
    use(tmp_path, after)


def test_a_call_that_a_crash_cut_off_counts_with_the_most_it_can_cost(tmp_path: Path) -> None:
    async def before(governor: Governor, database: Database, clock: Clock) -> None:
        await admitted(governor, ask(1000, "s"), PRICE)
        await admitted(governor, ask(1000, "s"), FREE)

    async def after(governor: Governor, database: Database, clock: Clock) -> None:
        (row,) = (await governor.rows(10, None)).items
        assert (row.failed, row.micros >= 2000, row.prompt_tokens >= 1000) == (1, True, True)
        tally, _ = (await governor.tallies("s"))["session"]
        assert tally.micros == row.micros

    use(tmp_path, before)
    use(tmp_path, after)
    use(tmp_path, after)  # once is enough


def test_a_full_disk_loses_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        reservation = await admitted(governor, ask())

        async def full(fn: object) -> None:
            raise StorageFull("no space left")

        with monkeypatch.context() as patched:
            patched.setattr(database, "write", full)
            await governor.settle(reservation, Used(prompt_tokens=40))
        assert (await governor.rows(10, None)).items == ()
        assert (await governor.tallies())["day"][0].tokens == 40, "it counts already"
        await spend(governor, 2)
        (row,) = (await governor.rows(10, None)).items
        assert (row.calls, row.prompt_tokens) == (2, 42)

    use(tmp_path, test)


def test_a_call_that_cannot_be_noted_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        async def full(fn: object) -> None:
            raise StorageFull("no space left")

        monkeypatch.setattr(database, "write", full)
        with pytest.raises(StorageFull):
            await governor.admit(ask(), provider="p", model="m", price=PRICE)
        tally, _ = (await governor.tallies())["day"]
        assert (tally.reserved_tokens, tally.calls) == (0, 0)

    use(tmp_path, test)


def test_a_call_whose_caller_goes_while_it_is_noted_costs_nothing(tmp_path: Path) -> None:
    async def left(governor: Governor, database: Database, clock: Clock) -> None:
        asking = asyncio.create_task(governor.admit(ask(session_id=None), provider="p", model="m", price=PRICE))
        while not (await governor.tallies())["day"][0].calls:  # noqa: ASYNC110
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        tally, _ = (await governor.tallies())["day"]
        assert (tally.reserved_tokens, tally.calls) == (0, 0)

    async def after(governor: Governor, database: Database, clock: Clock) -> None:
        assert (await governor.rows(10, None)).items == ()

    use(tmp_path, left)
    use(tmp_path, after)


class Removed(ScriptedEngine):
    """A local model that is taken away as soon as a call of it was admitted."""

    here = True

    @property
    def name(self) -> str:
        if not self.here:
            raise InferenceUnavailable("there is no model here")
        self.here = False
        return "removed"

    @name.setter
    def name(self, name: str) -> None:
        pass


def test_a_model_that_is_removed_between_leave_and_call_keeps_nothing_reserved(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        gateway = Gateway(local_model(), remotes=lambda: [provider("p", Removed(closed=True))], governor=governor)
        with pytest.raises(InferenceUnavailable):
            await gateway.complete(ask())
        tally, _ = (await governor.tallies())["day"]
        assert (tally.reserved_tokens, tally.calls) == (0, 0)

    use(tmp_path, test)


def test_an_answer_that_broke_off_before_its_text_counts_its_prompt(tmp_path: Path) -> None:
    class Breaking(ScriptedEngine):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
            error = ProviderFailed("its answer was cut off")
            error.begun = self.capable
            raise error
            yield ""

    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        for capable in (False, True):
            await _until_it_fails(governor, Breaking(name=f"begun {capable}", capable=capable))
        begun, refused = (await governor.rows(10, None)).items
        assert (begun.model, begun.failed, begun.prompt_tokens > 90) == ("begun True", 3, True)
        assert (refused.model, refused.failed, refused.prompt_tokens) == ("begun False", 3, 0)

    use(tmp_path, test)


async def _until_it_fails(governor: Governor, engine: ScriptedEngine) -> None:
    gateway = Gateway(
        local_model(),
        remotes=lambda: [provider("p", engine)],
        governor=governor,
        pause=lambda seconds: asyncio.sleep(0),
    )
    with pytest.raises(AllProvidersFailed):
        await gateway.complete(ask(words=30))


def test_sessions_beyond_the_bound_are_forgotten_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_SESSIONS", 3)
    monkeypatch.setattr("node.inference.governor.MAX_SESSIONS_KEPT", 2)

    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        for number in range(5):
            clock.advance(1)
            await spend(governor, 10, session_id=f"s{number}")
        sums = [await database.read(lambda conn, n=n: usage.sums_of_session(conn, f"s{n}").tokens) for n in range(5)]  # type: ignore[misc]
        assert sums == [0, 0, 10, 10, 10]
        assert (await governor.tallies("s2"))["session"][0].tokens == 10

    use(tmp_path, test)


def test_a_throttled_gateway_answers_in_the_name_of_the_governor(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        engine = ScriptedEngine()
        gateway = Gateway(local_model(engine), governor=governor)
        first = await gateway.complete(ask(50, "s"))
        assert first.model == "scripted"
        await spend(governor, 900)
        with pytest.raises(BudgetExhausted):
            await gateway.complete(ask(50, "s"))  # nobody takes what the governor says for what a model said
        answer = await gateway.complete(replace(ask(50, "s"), shown=True))
        assert (answer.model, answer.completion_tokens) == (GOVERNOR, 0)
        assert "of 1000 tokens of the day are used" in answer.text
        assert answer.note
        piece, whole = [item async for item in gateway.stream(replace(ask(50, "s"), shown=True))]
        assert isinstance(whole, Completion)
        assert piece == whole.text == answer.text
        await governor.settle(Reservation(**_empty(governor)), Used(prompt_tokens=500))
        for call in (gateway.complete(replace(ask(), shown=True)), gateway.test("local")):
            with pytest.raises(BudgetExhausted, match="of 1000 tokens of the day"):
                await call
        assert len(engine.asked) == 1

    use(tmp_path, test, budget(day=BudgetLimits(tokens=1000)))
    assert BudgetExhausted.code == 42928


def _empty(governor: Governor) -> dict[str, object]:
    tallies = (governor._today, governor._twin)
    for tally in tallies:
        tally.reserve(0, 0)
    return {
        "id": None,
        "day": "2027-01-15",
        "provider": "p",
        "model": "m",
        "session_id": None,
        "price": FREE,
        "tokens": 0,
        "micros": 0,
        "tallies": tallies,
    }


def test_a_free_model_takes_over_when_the_money_is_used_up(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        dear, own = ScriptedEngine(name="dear"), ScriptedEngine(name="own")
        remotes = [provider("dear", dear, price=Price(1000.0, 1000.0))]
        gateway = Gateway(local_model(own), remotes=lambda: remotes, governor=governor)
        assert (await gateway.complete(ask(50))).model == "dear"
        await governor.settle(await admitted(governor, ask(1), PRICE), Used(completion_tokens=600_000))
        assert (await gateway.complete(ask(50))).model == "own"
        assert len(dear.asked) == 1

    use(tmp_path, test, budget(day=BudgetLimits(money=1)))


def test_a_stream_that_is_left_is_counted_with_what_came(tmp_path: Path) -> None:
    async def test(governor: Governor, database: Database, clock: Clock) -> None:
        gateway = Gateway(local_model(ScriptedEngine()), governor=governor)
        items = gateway.stream(ask(words=30))
        assert await anext(items) == "word"
        await items.aclose()
        (row,) = (await governor.rows(10, None)).items
        assert (row.calls, row.failed) == (1, 0)
        assert row.prompt_tokens > 30
        assert row.completion_tokens == 2
        tally, _ = (await governor.tallies())["day"]
        assert (tally.calls, tally.reserved_tokens) == (0, 0)

    use(tmp_path, test)
