import pytest

from identity.did import Did
from node.messaging.live import LiveRoutes
from protocols import limits
from tests.node.messaging.routes_back import FakeBack

ADA, BELA = Did("did:key:zada"), Did("did:key:zbela")


def test_the_newest_open_way_counts() -> None:
    live, old, new = LiveRoutes(), FakeBack(), FakeBack()
    assert live.of(ADA) is None
    live.open(ADA, old)
    live.open(ADA, new)
    assert live.of(ADA) is new
    new.end()
    assert live.of(ADA) is old
    live.close(ADA, old)
    assert live.of(ADA) is None
    live.close(ADA, old)
    assert live.of(BELA) is None


def test_a_way_for_one_thread_is_a_way_for_that_thread_only() -> None:
    live, one, all_of_them = LiveRoutes(), FakeBack(), FakeBack()
    live.open(ADA, one, thread="t")
    assert (live.of(ADA), live.of(ADA, "u"), live.of(ADA, "t")) == (None, None, one)
    live.open(ADA, all_of_them)
    assert (live.of(ADA), live.of(ADA, "t")) == (all_of_them, all_of_them)
    live.open(ADA, one, thread="t")
    assert (live.of(ADA), live.of(ADA, "t")) == (all_of_them, one)


def test_ways_are_bounded_for_each_agent_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LIVE_ROUTES", 2)
    live, routes = LiveRoutes(), [FakeBack() for _ in range(limits.MAX_LIVE_ROUTES_PER_DID + 1)]
    for route in routes:
        live.open(ADA, route)
    for route in reversed(routes[1:]):
        assert live.of(ADA) is route
        route.end()
    assert live.of(ADA) is None  # the oldest gave way
    for name in ("one", "two", "three"):
        live.open(Did(f"did:key:z{name}"), FakeBack())
    assert live.of(Did("did:key:zone")) is None
    assert live.of(Did("did:key:zthree")) is not None
