import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from storage.vectors import VectorIndex

D = 4


def unit(seed: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).standard_normal(D).astype(np.float32)
    return vector / np.linalg.norm(vector)


def units(seeds: list[int]) -> NDArray[np.float32]:
    return np.array([unit(seed) for seed in seeds], np.float32).reshape(-1, D)


def test_the_nearest_come_first() -> None:
    index = VectorIndex(D)
    assert index.search(unit(1), 3) == []
    index.add(list(range(1, 21)), units(list(range(1, 21))))
    found = index.search(unit(7), 3)
    expected = sorted(((float(unit(one) @ unit(7)), one) for one in range(1, 21)), reverse=True)[:3]
    assert [one for one, _ in found] == [one for _, one in expected]
    assert [score for _, score in found] == pytest.approx([score for score, _ in expected], abs=1e-6)
    assert found[0][0] == 7


def test_adding_an_id_again_replaces_its_vector() -> None:
    index = VectorIndex(D)
    index.add([1, 2], units([1, 2]))
    index.add([1], units([3]))
    assert len(index) == 2
    assert [one for one, _ in index.search(unit(3), 9)] in ([1, 2], [2, 1])
    assert dict(index.search(unit(3), 9))[1] == pytest.approx(1, abs=1e-6)


def test_what_was_removed_is_not_found() -> None:
    index = VectorIndex(D)
    index.add([1, 2, 3], units([1, 2, 3]))
    assert index.remove([2, 2, 99]) == 1
    assert index.remove([2]) == 0
    assert sorted(one for one, _ in index.search(unit(2), 9)) == [1, 3]


def test_a_search_among_some_sees_no_others() -> None:
    index = VectorIndex(D)
    index.add(list(range(50)), units(list(range(50))))
    assert [one for one, _ in index.search(unit(5), 9, among=[6, 5, 1000])] == [5, 6]
    assert {one for one, _ in index.search(unit(5), 9, among=[40, 41])} == {40, 41}
    assert index.search(unit(5), 9, among=[]) == []
    assert index.search(unit(5), 9, among=[1000]) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.lists(st.integers(0, 9), unique=True, max_size=5))))
def test_the_index_holds_what_a_dictionary_would(steps: list[tuple[str, list[int]]]) -> None:
    index, model = VectorIndex(D), dict[int, int]()
    for number, (what, ids) in enumerate(steps):
        if what == "add":
            index.add(ids, units([100 * number + one for one in ids]))
            model |= {one: 100 * number + one for one in ids}
        else:
            assert index.remove(ids) == len(model.keys() & set(ids))
            for one in ids:
                model.pop(one, None)
    assert len(index) == len(model)
    found = index.search(unit(1), 100)
    assert dict(found) == pytest.approx({one: float(unit(seed) @ unit(1)) for one, seed in model.items()}, abs=1e-5)
    assert len(found) == len(model)


def test_threads_share_an_index() -> None:
    index = VectorIndex(D)
    errors: list[BaseException] = []

    def work(base: int) -> None:
        try:
            for one in range(base, base + 50):
                index.add([one], units([one]))
                assert index.search(unit(one), 1)[0][1] == pytest.approx(1, abs=1e-5)
                if one % 2:
                    index.remove([one])
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(base,)) for base in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(index) == 75


@pytest.mark.slow
def test_faiss_is_loaded_at_the_first_use_without_a_warning() -> None:
    code = (
        "import sys, numpy as np; from storage.vectors import VectorIndex; index = VectorIndex(2);"
        "assert 'faiss' not in sys.modules; index.add([1], np.eye(2, dtype=np.float32)[:1]);"
        "import faiss; assert faiss.omp_get_max_threads() == 1"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
