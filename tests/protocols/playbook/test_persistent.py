"""The persistent map behaves as a dict that is copied on each change."""

import random

from hypothesis import given
from hypothesis import strategies as st

from protocols.playbook.persistent import PersistentMap


def empty() -> PersistentMap[int, int]:
    """A map whose keys lie close together, so that it grows deep; even values count."""
    return PersistentMap(
        lambda key: key.to_bytes(20, signed=True), lambda key, value: None if value % 2 else b"%d %d" % (key, value)
    )


@given(st.lists(st.tuples(st.integers(-600, 600), st.integers()), max_size=60))
def test_agrees_with_dict_and_leaves_earlier_maps_alone(changes: list[tuple[int, int]]) -> None:
    mine = empty()
    other: dict[int, int] = {}
    versions = [(mine, dict(other))]
    for key, value in changes:
        mine = mine.set(key, value)
        other[key] = value
        versions.append((mine, dict(other)))
    for version, expected in versions:
        assert dict(version) == expected
        assert len(version) == len(expected)
        assert dict(version.entries()) == expected
        assert version.get(1000) is None
        assert all(key in version and version[key] == value for key, value in expected.items())


def test_setting_the_same_key_again_does_not_grow_the_map() -> None:
    assert len(empty().set(1, 1).set(1, 2)) == 1


CHANGES = st.lists(st.tuples(st.integers(-300, 300), st.integers(0, 3)), max_size=40)


@given(CHANGES, CHANGES, st.randoms(use_true_random=False))
def test_the_digest_is_that_of_the_entries_that_count(
    changes: list[tuple[int, int]], noise: list[tuple[int, int]], rng: random.Random
) -> None:
    mine = empty()
    for key, value in changes:
        mine = mine.set(key, value)
        if rng.random() < 0.5:
            assert len(mine.digest) == 32
    final = [(key, value) for key, value in mine.items() if value % 2 == 0]
    others = [(key, 1) for key, _ in noise if mine.get(key, 1) % 2]
    rng.shuffle(final)
    again = empty()
    for key, value in [*others[:5], *final, *others[5:]]:
        again = again.set(key, value)
    assert again.digest == mine.digest
    for key, value in final[:5]:
        assert mine.set(key, value + 2).digest != mine.digest
        assert mine.set(key, 1).digest != mine.digest
    assert mine.set(1000, 2).digest != mine.digest
    assert mine.set(1000, 1).digest == mine.digest


def test_the_digest_of_nothing_and_of_one() -> None:
    assert empty().digest == empty().set(1, 1).digest == bytes(32)
    alone = empty().set(1, 2)
    assert alone.digest == alone.set(0, 1).set(17, 1).digest != bytes(32)
