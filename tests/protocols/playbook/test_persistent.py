"""The persistent map behaves as a dict that is copied on each change."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.playbook.persistent import PersistentMap


@given(st.lists(st.tuples(st.integers(-600, 600), st.integers()), max_size=60))
def test_agrees_with_dict_and_leaves_earlier_maps_alone(changes: list[tuple[int, int]]) -> None:
    mine: PersistentMap[int, int] = PersistentMap()
    other: dict[int, int] = {}
    versions = [(mine, dict(other))]
    for key, value in changes:
        mine = mine.set(key, value)
        other[key] = value
        versions.append((mine, dict(other)))
    for version, expected in versions:
        assert dict(version) == expected
        assert len(version) == len(expected)
        assert version.get(1000) is None
        assert all(key in version and version[key] == value for key, value in expected.items())


def test_setting_the_same_key_again_does_not_grow_the_map() -> None:
    assert len(PersistentMap[str, int]().set("a", 1).set("a", 2)) == 1
