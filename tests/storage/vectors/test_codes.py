"""An index past the size at which it is exact: what it finds, what filters do, and making it anew while it is used."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.vectors import index as index_module
from storage.vectors import short, tables
from storage.vectors.index import Stopped, VectorIndex
from tests.storage.vectors.made import D, clustered

N = 6000
MOST = 2000
ROWS = clustered(N)
QUERIES = clustered(40, seed=2)


@pytest.fixture(params=[short.STRETCH, 700], ids=["alone", "shared"])
def index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> VectorIndex:
    """Vectors 0 to N - 1, each in the group of its last decimal digit, behind codes that one or two threads search."""
    monkeypatch.setattr(short, "STRETCH", request.param)
    monkeypatch.setattr(short, "core_is_idle", lambda: True)
    made = VectorIndex(D, exact_most=MOST)
    made.add(range(N), ROWS, [one % 10 for one in range(N)])
    made.build()
    assert not made.exact
    return made


def nearest(query: NDArray[np.float32], ids: NDArray[np.int64], k: int = 10) -> set[int]:
    return set(ids[np.argsort(-(ROWS[ids] @ query))[:k]].tolist())


def found(index: VectorIndex, query: NDArray[np.float32], **limits: object) -> set[int]:
    return {one for one, _ in index.search(query, 10, **limits)}  # type: ignore[arg-type]


def recall(index: VectorIndex, ids: NDArray[np.int64], **limits: object) -> float:
    return float(np.mean([len(found(index, q, **limits) & nearest(q, ids)) / 10 for q in QUERIES]))


def test_codes_find_what_comparing_everything_finds(index: VectorIndex) -> None:
    assert recall(index, np.arange(N)) >= 0.98
    (first, score), *_ = index.search(ROWS[77], 3)
    assert first == 77
    assert score == pytest.approx(1, abs=0.02)
    scores = [score for _, score in index.search(QUERIES[0], 50)]
    assert scores == sorted(scores, reverse=True)


def test_a_group_is_searched_as_well_as_everything(index: VectorIndex) -> None:
    ids = np.arange(N)
    assert recall(index, ids[ids % 10 == 3], groups=[3]) >= 0.98
    most = ids[ids % 10 != 3]
    assert recall(index, most, groups={0, 1, 2, 4, 5, 6, 7, 8, 9}) >= 0.98
    assert found(index, QUERIES[0], groups=[]) == set()
    assert found(index, QUERIES[0], groups=[99]) == set()


def test_a_filter_that_leaves_few_sees_all_of_them(index: VectorIndex) -> None:
    worst = np.argsort(ROWS @ QUERIES[0])[:7]  # what nobody would look at for this query
    assert found(index, QUERIES[0], among=worst.tolist()) == set(worst.tolist())
    some = [one for one in worst.tolist() if one % 10 == worst[0] % 10]
    assert found(index, QUERIES[0], among=worst.tolist(), groups=[int(worst[0] % 10)]) == set(some)
    assert found(index, QUERIES[0], among=[N + 5]) == set()


def test_a_large_filter_far_from_the_query_is_searched_to_the_end(
    index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shortlist of all vectors holds none of them: it is widened, and at last they are all compared."""
    monkeypatch.setattr(tables, "SCANNED_WHOLE", 100)
    monkeypatch.setattr(tables, "SHORTLIST_LEAST", 300)
    monkeypatch.setattr(tables, "SHORTLIST_FOR_EACH", 5)
    monkeypatch.setattr(tables, "SHORTLIST_MOST", 1000)
    far = np.argsort(ROWS @ QUERIES[0])[:2500]
    index.add(far.tolist(), ROWS[far], 50)
    best = np.sort(ROWS[far] @ QUERIES[0])[::-1][:10]
    scores = [score for _, score in index.search(QUERIES[0], 10, groups=[50])]
    assert scores == pytest.approx(best.tolist(), abs=0.02)


def test_a_filter_that_leaves_a_tenth_is_spared_comparing_all_of_it(
    index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SCANNED_WHOLE", 100)
    monkeypatch.setattr(tables, "SHORTLIST_LEAST", 160)
    monkeypatch.setattr(tables, "SHORTLIST_MOST", 2000)
    monkeypatch.setattr(tables, "_scan", None)
    ids = np.arange(N)
    assert recall(index, ids[ids % 10 == 3], groups=[3]) >= 0.98


def test_changes_are_seen_at_once(index: VectorIndex) -> None:
    index.add([N, N + 1], QUERIES[:2], 3)
    assert index.search(QUERIES[0], 1)[0][0] == N
    index.add([N], QUERIES[2:3], 4)  # another vector for the same id
    assert index.search(QUERIES[0], 1)[0][0] != N
    assert index.search(QUERIES[2], 1, groups=[4])[0][0] == N
    assert N not in found(index, QUERIES[2], groups=[3])
    assert index.remove([N, N + 1, N + 2]) == 2
    assert not {N, N + 1} & {one for one, _ in index.search(QUERIES[2], N)}
    assert len(index) == N


def test_what_was_removed_leaves_no_bytes(index: VectorIndex) -> None:
    index.remove([5])
    with index.settled() as (holding, _):
        table = holding.table
        assert isinstance(table, tables.ByteTable)
        assert not table.codes[5].any()
        assert table.codes[6].any()


def test_it_is_exact_until_it_is_built_and_asks_for_that_as_it_grows() -> None:
    index = VectorIndex(D, exact_most=MOST)
    index.add(range(MOST), ROWS[:MOST])
    assert index.exact
    assert not index.wants_building
    index.add([MOST], ROWS[MOST : MOST + 1])
    assert index.wants_building
    index.build()
    assert not index.exact
    assert not index.wants_building
    index.add(range(MOST + 1, N), ROWS[MOST + 1 : N])
    assert not index.wants_building  # not yet four times as many
    assert recall(index, np.arange(N)) >= 0.98


def test_removed_slots_go_when_it_is_built_again(index: VectorIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "DEAD_LEAST", 100)
    index.remove(range(0, N, 2))
    assert index.wants_building
    index.build()
    assert not index.wants_building
    with index.settled() as (holding, _):
        assert holding.slots.dead == 0
    odd = np.arange(1, N, 2)
    assert len(index) == len(odd)
    assert recall(index, odd) >= 0.95  # their bytes were made from bytes
    index.remove(range(21, N))
    index.build()  # too few to make codes from: those that are there stay
    assert found(index, QUERIES[0]) == nearest(QUERIES[0], np.arange(1, 20, 2))


def test_bytes_stay_as_they_are_when_it_is_built_again(index: VectorIndex) -> None:
    """Bytes made of bytes, by another reach, would lose a little more each time."""
    index.remove(np.argmax(np.abs(ROWS), axis=0).tolist())  # what reached farthest, so that another reach is less
    before = dict(index.search(QUERIES[0], N))
    for _ in range(3):
        index.build()
    assert dict(index.search(QUERIES[0], N)) == pytest.approx(before, abs=1e-6)


def test_an_exact_index_is_rid_of_removed_slots_and_stays_exact() -> None:
    index = VectorIndex(D, exact_most=MOST)
    index.add(range(10), ROWS[:10])
    index.remove(range(5))
    index.build()
    assert index.exact
    assert dict(index.search(ROWS[7], 9))[7] == pytest.approx(1, abs=1e-6)
    assert {one for one, _ in index.search(ROWS[7], 9)} == {5, 6, 7, 8, 9}


def test_building_that_is_stopped_changes_nothing() -> None:
    index = VectorIndex(D, exact_most=MOST)
    index.add(range(N), ROWS)
    with pytest.raises(Stopped):
        index.build(stop=lambda: True)
    assert index.exact
    assert found(index, QUERIES[0]) == nearest(QUERIES[0], np.arange(N))


class Interrupting:
    """Changes an index between two steps of building it, from another thread."""

    def __init__(self, index: VectorIndex) -> None:
        self._steps = self._change(index)

    def __call__(self) -> bool:
        thread = threading.Thread(target=next, args=(self._steps, None))
        thread.start()
        thread.join()
        return False

    @staticmethod
    def _change(index: VectorIndex) -> Iterator[None]:
        index.remove([1, 2, 3])
        index.add([4, N], QUERIES[:2])
        yield
        index.remove([5, N - 1])
        index.add([3, N + 1], QUERIES[2:4])
        index.add([4], QUERIES[4:5])
        assert index.search(QUERIES[4], 1)[0][0] == 4  # the table that is there serves
        yield


def test_changes_while_it_is_built_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_AT_ONCE", 2000)
    index = VectorIndex(D, exact_most=MOST)
    index.add(range(N), ROWS)
    index.build(stop=Interrupting(index))
    assert not index.exact
    assert len(index) == N - 4 + 2
    rest = {one for one, _ in index.search(QUERIES[0], 2 * N)}
    assert rest == (set(range(N)) - {1, 2, 5, N - 1}) | {N, N + 1}
    for query, one in ((1, N), (2, 3), (3, N + 1), (4, 4)):
        assert index.search(QUERIES[query], 1)[0][0] == one
