"""The short codes: which slots they find, in one shard or two."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.vectors import short
from storage.vectors.short import ShortCodes
from storage.vectors.tables import Codec
from tests.storage.vectors.made import D, clustered

N = 3000
ROWS = clustered(N)
QUERIES = clustered(20, seed=2)
VALUES = Codec.of(ROWS).values


def codes(rows: NDArray[np.float32] = ROWS) -> ShortCodes:
    made = ShortCodes(VALUES)
    made.append(rows)
    return made


@pytest.fixture(autouse=True)
def an_idle_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short, "core_is_idle", lambda: True)


@pytest.mark.parametrize("idle", [True, False])
def test_two_shards_find_what_one_finds(monkeypatch: pytest.MonkeyPatch, idle: bool) -> None:
    monkeypatch.setattr(short, "core_is_idle", lambda: idle)
    alone = codes()
    likest = [set(alone.likest(query, 200).tolist()) for query in QUERIES]
    monkeypatch.setattr(short, "STRETCH", 100)
    shared = codes()
    assert shared.count == alone.count == N
    for query, expected in zip(QUERIES, likest, strict=True):
        found = shared.likest(query, 200)
        assert len(set(found.tolist())) == len(found) == 400
        assert len(expected - set(found.tolist())) <= 5  # those that share the code of the last one
        assert set(shared.likest(query, N).tolist()) == set(range(N))


@pytest.mark.parametrize("size", [1, 7, 99, 100, 101, 250])
def test_slots_are_given_in_order_however_many_rows_come_at_once(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(short, "STRETCH", 100)
    made = ShortCodes(VALUES)
    for start in range(0, 500, size):
        made.append(ROWS[start : min(start + size, 500)])
        assert made.count == min(start + size, 500)
    whole = codes(ROWS[:500])
    for query in QUERIES:
        assert made.likest(query, 9).tolist() == whole.likest(query, 9).tolist()
    near = [slot in made.likest(ROWS[slot], 9) for slot in range(500)]
    assert np.mean(near) > 0.95  # a few have many that share their code


def test_threads_share_the_helping_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short, "STRETCH", 100)
    tables = [codes(), codes(ROWS[::-1])]
    alone = [[table.likest(query, 30).tolist() for query in QUERIES] for table in tables]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            jobs = [[pool.submit(table.likest, query, 30) for query in QUERIES] for table in tables]
            assert [[job.result().tolist() for job in row] for row in jobs] == alone


def test_what_fails_in_the_helping_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short, "STRETCH", 100)
    made = codes()
    with pytest.raises(AssertionError):  # faiss's own, for too few numbers
        made.likest(QUERIES[0][: D - 1], 9)
    assert len(made.likest(QUERIES[0], 9)) == 18
