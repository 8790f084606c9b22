from hypothesis import given
from hypothesis import strategies as st

from protocols.ratelimit import KeyedBuckets, TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.allow(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.allow(10.4)
    assert bucket.allow(10.5)
    assert not bucket.allow(10.5)


def test_it_never_holds_more_than_the_burst() -> None:
    bucket = TokenBucket(rate_per_s=100, burst=2)
    assert bucket.allow(0.0)
    assert [bucket.allow(1000.0) for _ in range(3)] == [True, True, False]


def test_a_cost_over_what_is_there_takes_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=5)
    assert not bucket.allow(0.0, cost=6)
    assert bucket.allow(0.0, cost=5)


def test_a_clock_that_steps_back_gives_nothing_twice() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1)
    assert bucket.allow(100.0)
    assert not bucket.allow(50.0)
    assert not bucket.allow(100.5)
    assert bucket.allow(101.0)


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 1), max_size=100))
def test_never_more_than_burst_and_rate_allow(rate: float, burst: int, steps: list[float]) -> None:
    bucket, now, taken = TokenBucket(rate, burst), 0.0, 0
    for step in steps:
        now += step
        taken += bucket.allow(now)
    assert taken <= burst + rate * now + 1e-6


def test_what_is_given_back_can_be_taken_again_up_to_the_burst() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=3)
    assert bucket.allow(0.0, cost=3)
    bucket.give_back(2)
    assert bucket.allow(0.0, cost=2)
    bucket.give_back(5)
    assert not bucket.allow(0.0, cost=4)
    assert bucket.allow(0.0, cost=3)


def test_a_key_gets_back_what_is_its_own() -> None:
    buckets = KeyedBuckets(1, 1, max_keys=2)
    assert [buckets.allow(key, 0.0) for key in ("a", "b")] == [True, True]
    buckets.give_back("a")
    buckets.give_back("forgotten")
    assert [buckets.allow(key, 0.0) for key in ("a", "b")] == [True, False]


def test_keys_do_not_share() -> None:
    buckets = KeyedBuckets(1, 1, max_keys=10)
    assert buckets.allow("flood", 0.0)
    assert not buckets.allow("flood", 0.0)
    assert buckets.allow("quiet", 0.0)


def test_the_key_that_was_silent_longest_is_forgotten() -> None:
    buckets = KeyedBuckets(1, 1, max_keys=2)
    assert buckets.allow("a", 0.0)
    assert buckets.allow("b", 0.0)
    assert not buckets.allow("a", 0.0)
    assert buckets.allow("c", 0.0)
    assert len(buckets) == 2
    assert not buckets.allow("a", 0.0)
    assert buckets.allow("b", 0.0)
