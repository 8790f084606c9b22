import uuid

from hypothesis import given
from hypothesis import strategies as st

from node.ids import time_ordered_id

times = st.integers(0, 2**48 - 1)


@given(times)
def test_an_id_is_a_uuid_of_version_7_that_tells_its_time(now_ms: int) -> None:
    made = uuid.UUID(time_ordered_id(now_ms))
    assert made.variant == uuid.RFC_4122
    assert made.version == 7
    assert made.int >> 80 == now_ms


@given(times, times)
def test_the_later_one_is_the_greater_one(one: int, other: int) -> None:
    if one != other:
        assert (one < other) == (time_ordered_id(one) < time_ordered_id(other))


def test_two_of_one_millisecond_differ() -> None:
    assert len({time_ordered_id(1) for _ in range(100)}) == 100
