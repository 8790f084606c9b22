"""The circuit breaker, on a clock that the tests turn."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.inference.breaker import FAILURES, FIRST_REST_S, MOST_REST_S, Breaker


def failed(breaker: Breaker, times: int, now_s: float = 0.0) -> Breaker:
    for _ in range(times):
        breaker.failed(now_s)
    return breaker


def test_it_opens_after_some_failures_in_a_row() -> None:
    breaker = failed(Breaker(), FAILURES - 1)
    assert breaker.enter(0)
    breaker.succeeded()
    failed(breaker, FAILURES - 1)
    assert breaker.enter(0), "an answer in between begins the count anew"
    breaker.failed(0)
    assert not breaker.enter(0)
    assert breaker.rests_s(0) == FIRST_REST_S


def test_once_rested_one_caller_may_try_and_the_others_wait_for_it() -> None:
    breaker = failed(Breaker(), FAILURES)
    assert not breaker.enter(FIRST_REST_S - 0.1)
    assert breaker.enter(FIRST_REST_S)
    assert not breaker.enter(FIRST_REST_S)
    breaker.left()
    assert breaker.enter(FIRST_REST_S), "whoever left without an answer gives the place back"
    breaker.succeeded()
    assert breaker.enter(FIRST_REST_S)
    assert breaker.enter(FIRST_REST_S)


def test_a_trial_that_fails_doubles_the_rest_up_to_a_bound() -> None:
    breaker, now_s, rests = failed(Breaker(), FAILURES), 0.0, []
    for _ in range(8):
        rests.append(breaker.rests_s(now_s))
        now_s += rests[-1]
        assert breaker.enter(now_s)
        breaker.failed(now_s)
    assert rests[:3] == [FIRST_REST_S, 2 * FIRST_REST_S, 4 * FIRST_REST_S]
    assert rests[-1] == MOST_REST_S


def test_it_stays_away_for_as_long_as_it_is_told_and_not_for_ever() -> None:
    breaker = Breaker()
    breaker.failed(0, away_s=7)
    assert (breaker.enter(6.9), breaker.enter(7)) == (False, True)
    breaker.failed(7, away_s=10 * MOST_REST_S)
    assert breaker.rests_s(7) == MOST_REST_S


def test_calls_that_were_under_way_when_it_opened_do_not_make_it_rest_longer() -> None:
    breaker = failed(Breaker(), FAILURES)
    failed(breaker, 5, now_s=1.0)
    assert breaker.rests_s(1.0) == FIRST_REST_S - 1


class Used(RuleBasedStateMachine):
    """However it is used: it rests for so long at most, and one that answers is never kept out."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now_s, self.inside = Breaker(), 0.0, 0

    @rule(s=st.floats(0, 400))
    def time_passes(self, s: float) -> None:
        self.now_s += s

    @rule()
    def enter(self) -> None:
        self.inside += self.breaker.enter(self.now_s)

    @precondition(lambda self: self.inside)
    @rule(how=st.sampled_from(("succeeded", "failed", "left")))
    def end(self, how: str) -> None:
        self.inside -= 1
        if how == "failed":
            self.breaker.failed(self.now_s)
        elif how == "left":
            self.breaker.left()
        else:
            self.breaker.succeeded()
            assert self.breaker.enter(self.now_s)

    @invariant()
    def rests_within_bounds(self) -> None:
        assert 0 <= self.breaker.rests_s(self.now_s) <= MOST_REST_S


TestUsed = Used.TestCase
