import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_JOSE
from node.hive import following
from node.hive.following import Following, Wanted
from node.net.errors import BlockNotFound
from protocols.errors import MalformedMessage
from protocols.playbook.messages import Update
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, new_did, open_node, running, soon

ANNA, BERT = new_did(), new_did()


def update(name: str = "common", head: bytes = b"1") -> Update:
    return Update(name, (Cid.of(CODEC_DAG_JOSE, head),))


class Fetcher:
    """Gives each attempt to the test, and fails as long as `error` is set."""

    def __init__(self, network: Node) -> None:
        self.attempts: asyncio.Queue[Wanted] = asyncio.Queue()
        self.error: Exception | None = None
        self.counters: Counter[str] = Counter()
        self.following = Following(network.network, self._fetch, self.counters)
        self.proceed = asyncio.Event()
        self.proceed.set()

    async def _fetch(self, wanted: Wanted) -> None:
        self.attempts.put_nowait(wanted)
        await self.proceed.wait()
        if self.error is not None:
            raise self.error

    async def next(self) -> Wanted:
        return await soon(self.attempts.get())


@contextlib.asynccontextmanager
async def fetching(path: Path) -> AsyncIterator[tuple[Node, Node, Fetcher]]:
    swarm = FakeSwarm()
    async with open_node(swarm, path / "node") as node, open_node(swarm, path / "other") as other:
        fetcher = Fetcher(node)
        async with running(fetcher.following.run()):
            yield node, other, fetcher


def test_what_was_fetched_is_done_with(tmp_path: Path) -> None:
    async def main() -> None:
        async with fetching(tmp_path) as (node, other, fetcher):
            fetcher.following.want(update(), ANNA, None)
            fetcher.following.want(update(), BERT, None)
            assert {(await fetcher.next()).author for _ in range(2)} == {ANNA, BERT}
            await node.dial(other)
            fetcher.following.want(update("other"), ANNA, None)
            assert (await fetcher.next()).update.playbook == "other"  # and not the old ones again
            assert fetcher.attempts.empty()

    asyncio.run(main())


def test_what_nobody_has_is_tried_again_when_somebody_connects(tmp_path: Path) -> None:
    async def main() -> None:
        async with fetching(tmp_path) as (node, other, fetcher):
            fetcher.error = BlockNotFound("nobody")
            fetcher.following.want(update(), ANNA, None)
            await fetcher.next()
            fetcher.following.want(update("other"), ANNA, None)
            await fetcher.next()
            assert fetcher.attempts.empty()  # the first waits for its time
            fetcher.error = None
            await node.dial(other)
            assert {(await fetcher.next()).update.playbook for _ in range(2)} == {"common", "other"}
            assert fetcher.counters["revisions_unavailable"] == 2

    asyncio.run(main())


def test_somebody_who_connects_during_an_attempt_that_fails_is_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with fetching(tmp_path) as (node, other, fetcher):
            fetcher.error = BlockNotFound("nobody")
            fetcher.proceed.clear()
            fetcher.following.want(update(), ANNA, None)
            await fetcher.next()
            await node.dial(other)
            await asyncio.sleep(0)
            fetcher.proceed.set()
            await fetcher.next()

    asyncio.run(main())


def test_it_is_tried_again_after_a_pause_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(following, "RETRY_MOST_S", 0.003)

    async def main() -> None:
        async with fetching(tmp_path) as (_, _, fetcher):
            fetcher.error = BlockNotFound("nobody")
            fetcher.following.want(update(), ANNA, None)
            wanted = await fetcher.next()
            for _ in range(20):  # more often than it is counted
                assert await fetcher.next() is wanted
            assert wanted.attempts == 16
            fetcher.error = None
            await fetcher.next()

    asyncio.run(main())


def test_what_is_refused_is_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with fetching(tmp_path) as (node, other, fetcher):
            fetcher.error = MalformedMessage("a lie")
            fetcher.following.want(update(), ANNA, None)
            await fetcher.next()
            await node.dial(other)
            fetcher.following.want(update(), BERT, None)
            assert (await fetcher.next()).author == BERT
            assert fetcher.counters["revisions_refused"] >= 1

    asyncio.run(main())


def test_whoever_was_refused_is_followed_after_a_pause_that_grows_until_something_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(following, "REFUSED_FIRST_S", 0.01)
    monkeypatch.setattr(following, "REFUSED_MOST_S", 0.03)
    pause = following._Record.pause

    def noted(record: following._Record, now: float, first_s: float, most_s: float, times: int) -> None:
        pause(record, now, first_s, most_s, times)
        pauses.append(round(record.paused_until - now, 3))

    monkeypatch.setattr(following._Record, "pause", noted)

    async def main() -> None:
        async with fetching(tmp_path) as (node, other, fetcher):
            fetcher.error = MalformedMessage("a lie")
            for n in range(4):
                fetcher.following.want(update(head=bytes([n])), ANNA, None)
                await fetcher.next()
                await soon(_counted(fetcher.counters, "revisions_refused", n + 1))
            assert pauses == [0.01, 0.02, 0.03, 0.03]
            monkeypatch.setattr(following, "REFUSED_MOST_S", 3600.0)
            monkeypatch.setattr(following, "REFUSED_FIRST_S", 3600.0)
            fetcher.following.want(update(head=b"4"), ANNA, None)
            await fetcher.next()
            await soon(_counted(fetcher.counters, "revisions_refused", 5))
            fetcher.following.want(update(head=b"5"), ANNA, None)
            await node.dial(other)  # a lie gets no better by somebody who connects
            fetcher.following.want(update(), BERT, None)
            assert (await fetcher.next()).author == BERT
            assert fetcher.attempts.empty()

    asyncio.run(main())


async def _counted(counters: Counter[str], counter: str, count: int) -> None:
    while counters[counter] < count:  # noqa: ASYNC110 - counters tell nobody that they grew
        await asyncio.sleep(0.001)


def test_a_refusal_is_forgotten_with_the_next_history_that_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "REFUSED_FIRST_S", 0.01)

    async def main() -> None:
        async with fetching(tmp_path) as (_, _, fetcher):
            fetcher.error = MalformedMessage("a lie")
            fetcher.following.want(update(), ANNA, None)
            await fetcher.next()
            await soon(_counted(fetcher.counters, "revisions_refused", 1))
            assert fetcher.following._records[ANNA].refused == 1
            fetcher.error = None
            fetcher.following.want(update(), ANNA, None)
            await fetcher.next()
            while fetcher.following._wanted:  # noqa: ASYNC110 - the end of an attempt is told to nobody
                await asyncio.sleep(0)
            assert not fetcher.following._records

    asyncio.run(main())


def test_who_announces_again_and_again_what_nobody_has_is_followed_ever_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY_FIRST_S", 3600.0)
    monkeypatch.setattr(following, "RETRY_MOST_S", 3600.0)

    async def main() -> None:
        async with fetching(tmp_path) as (node, other, fetcher):
            fetcher.error = BlockNotFound("nobody")
            for n in range(following.PATIENT_ATTEMPTS + 1):
                fetcher.following.want(update(head=bytes([n])), ANNA, None)
                await fetcher.next()
                await soon(_counted(fetcher.counters, "revisions_unavailable", n + 1))
            fetcher.following.want(update(head=b"last"), ANNA, None)
            fetcher.following.want(update(), BERT, None)
            assert (await fetcher.next()).author == BERT
            assert fetcher.attempts.empty()
            await node.dial(other)  # it may have what nobody had
            assert {(await fetcher.next()).author for _ in range(2)} == {ANNA, BERT}

    asyncio.run(main())


def test_one_whose_blocks_never_come_delays_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fetching(tmp_path) as (_, _, fetcher):
            fetcher.proceed.clear()
            for name in ("common", "other"):
                fetcher.following.want(update(name), ANNA, None)
            assert (await fetcher.next()).author == ANNA
            authors = [new_did() for _ in range(following.AT_ONCE)]
            for author in authors:
                fetcher.following.want(update(), author, None)
            for author in authors[:-1]:
                assert (await fetcher.next()).author == author
            assert fetcher.attempts.empty()  # one of each author, and not all at once
            fetcher.proceed.set()
            assert {(await fetcher.next()).author for _ in range(2)} == {ANNA, authors[-1]}

    asyncio.run(main())


def test_an_attempt_ends_some_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ATTEMPT_S", 0.01)
    monkeypatch.setattr(following, "RETRY_FIRST_S", 0.01)

    async def main() -> None:
        async with fetching(tmp_path) as (_, _, fetcher):
            fetcher.proceed.clear()
            fetcher.following.want(update(), ANNA, None)
            wanted = await fetcher.next()
            assert await fetcher.next() is wanted
            assert fetcher.counters["revisions_unavailable"] == 1

    asyncio.run(main())


def test_a_newer_announcement_that_comes_during_an_attempt_is_followed(tmp_path: Path) -> None:
    async def main() -> None:
        async with fetching(tmp_path) as (_, _, fetcher):
            fetcher.proceed.clear()
            fetcher.following.want(update(head=b"1"), ANNA, None)
            await fetcher.next()
            fetcher.following.want(update(head=b"2"), ANNA, None)
            fetcher.proceed.set()
            assert (await fetcher.next()).update == update(head=b"2")

    asyncio.run(main())
