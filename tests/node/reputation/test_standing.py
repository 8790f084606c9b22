"""A twin's standing: bounded, personal, and not for sale."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did, did_key
from identity.keys import KeyPair
from node.reputation.standing import CAPS, HEARSAY_MOST, Attestation, first_hand, standing
from storage.experiences import Experience

NOW = 1_800_000_000_000
DAY_MS = 86_400_000


def _did() -> Did:
    return did_key(KeyPair(os.urandom(32)).public)


BELA, CARL, OWN_FRIEND = _did(), _did(), _did()


def _seen(kind: str = "receipt", good: float = 1.0, bad: float = 0.0, *, days: float = 0, ref: str = "r") -> Experience:
    return Experience(BELA, kind, ref, good, bad, int(NOW - days * DAY_MS))


def _said(issuer: Did, score: float = 1.0, contributions: int = 9, *, day: int = 0) -> Attestation:
    return Attestation(issuer, score, contributions, NOW + day * DAY_MS, f"urn:{issuer}:{day}")


def _score(
    seen: list[Experience] | None = None,
    said: list[Attestation] | None = None,
    *,
    named: set[Did] | None = None,
    known: dict[Did, float] | None = None,
) -> float:
    return standing(
        seen or [], said or [], subject=BELA, named=named or set(), first_hand_of_issuer=known or {}, now_ms=NOW
    ).score


def test_nobody_begins_with_a_standing() -> None:
    assert _score() == 0.0


def test_two_finished_tasks_make_a_half() -> None:
    assert _score([_seen(ref="1"), _seen(ref="2")]) == 0.5


def test_one_betrayal_takes_three_good_deeds() -> None:
    good = [_seen(ref=str(n)) for n in range(3)]
    assert _score([*good, _seen(good=0, bad=1, ref="bad")]) < _score(good) / 1.5


def test_what_is_long_ago_counts_half_after_half_a_year() -> None:
    (term,) = first_hand([_seen(days=180)], NOW).terms
    assert term.good == pytest.approx(0.5)


def test_small_favours_are_capped_and_harm_is_not() -> None:
    favours = [_seen("bullet", 1.0, ref=str(n)) for n in range(500)]
    harms = [_seen("bullet", 0.0, 1.0, ref=str(n)) for n in range(500)]
    assert first_hand(favours, NOW).terms[0].good == CAPS["bullet"]
    assert first_hand(harms, NOW).terms[0].bad == 500


def test_a_thousand_strangers_that_vouch_for_each_other_count_for_nothing() -> None:
    assert _score(said=[_said(_did()) for _ in range(1000)]) == 0.0


def test_strangers_add_nothing_to_what_a_named_issuer_says() -> None:
    alone = _score(said=[_said(CARL)], named={CARL})
    crowd = [_said(_did(), 0.0) for _ in range(1000)]
    assert _score(said=[_said(CARL), *crowd], named={CARL}) == alone > 0


def test_a_twin_does_not_vouch_for_itself() -> None:
    assert _score(said=[_said(BELA)], named={BELA}) == 0.0


def test_all_credentials_together_lift_a_stranger_to_a_third_at_most() -> None:
    friends = {_did() for _ in range(50)}
    said = [_said(friend) for friend in friends]
    assert _score(said=said, named=friends, known=dict.fromkeys(friends, 1.0)) == pytest.approx(1 / 3, abs=1e-3)


def test_an_issuer_that_is_known_to_be_good_weighs_more() -> None:
    assert _score(said=[_said(CARL)], named={CARL}, known={CARL: 0.9}) > _score(said=[_said(CARL)], named={CARL})


def test_of_one_issuer_the_newest_word_counts() -> None:
    said = [_said(CARL, 0.0, day=2), _said(CARL, 1.0, day=1)]
    assert _score(said=said, named={CARL}) == 0.0


def test_a_word_on_one_contribution_weighs_a_third() -> None:
    found = standing(
        [], [_said(CARL, contributions=1)], subject=BELA, named={CARL}, first_hand_of_issuer={}, now_ms=NOW
    )
    assert found.terms[0].good == pytest.approx(0.5 / 3, abs=1e-3)


def test_every_term_is_named() -> None:
    found = standing(
        [_seen(), _seen("answer", ref="2")],
        [_said(CARL)],
        subject=BELA,
        named={CARL},
        first_hand_of_issuer={},
        now_ms=NOW,
    )
    assert [term.source for term in found.terms] == ["receipt", "answer", f"credential of {CARL}"]


_EXPERIENCES = st.lists(
    st.builds(
        Experience,
        st.just(BELA),
        st.sampled_from(["receipt", "answer", "bullet", "something else"]),
        st.text(max_size=4),
        st.floats(-1, 1000),
        st.floats(-1, 1000),
        st.integers(0, 2 * NOW),
    ),
    max_size=30,
)
_ATTESTATIONS = st.lists(
    st.builds(
        Attestation,
        st.sampled_from([BELA, CARL, OWN_FRIEND]),
        st.floats(-10, 10),
        st.integers(0, 10**9),
        st.integers(0, 2 * NOW),
        st.text(max_size=4),
    ),
    max_size=10,
)


@given(_EXPERIENCES, _ATTESTATIONS, st.sets(st.sampled_from([CARL, OWN_FRIEND])))
def test_it_is_bounded_whatever_is_said(seen: list[Experience], said: list[Attestation], named: set[Did]) -> None:
    found = standing(seen, said, subject=BELA, named=named, first_hand_of_issuer={CARL: 1.0}, now_ms=NOW)
    assert 0.0 <= found.score < 1.0
    hearsay = [term for term in found.terms if term.source.startswith("credential")]
    assert sum(term.good for term in hearsay) <= HEARSAY_MOST + 1e-3
    assert sum(term.bad for term in hearsay) <= HEARSAY_MOST + 1e-3


@given(_EXPERIENCES)
def test_something_good_more_never_lowers_it(seen: list[Experience]) -> None:
    more = [*seen, _seen(ref="more")]
    assert _score(more) >= _score(seen) - 1e-4
