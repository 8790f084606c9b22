import pytest

from node.messaging.circuits import Circuits
from protocols import limits


class Hands:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_place_rests_longer_each_time_up_to_a_most_and_a_little_shorter_than_a_message() -> None:
    clock = Hands()
    circuits = Circuits(1, 4, clock)
    assert not circuits.rests("a")
    for pause_s in (0.7, 1.4, 2.8, 2.8):
        circuits.failed("a")
        clock.now_s += pause_s - 0.01
        assert circuits.rests("a")
        assert not circuits.rests("b")
        clock.now_s += 0.02
        assert not circuits.rests("a")


def test_a_place_that_answers_begins_anew() -> None:
    clock = Hands()
    circuits = Circuits(1, 100, clock)
    for _ in range(20):
        circuits.failed("a")
    circuits.worked("a")
    assert not circuits.rests("a")
    circuits.failed("a")
    clock.now_s += 0.71
    assert not circuits.rests("a")


def test_only_so_many_places_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CIRCUITS", 2)
    circuits = Circuits(1, 100, Hands())
    for place in ("a", "b", "a", "c"):
        circuits.failed(place)
    assert [circuits.rests(place) for place in ("a", "b", "c")] == [True, False, True]
