"""A twin's standing as seen from here: a number from 0 to just under 1, and every term that it is made of. Pure.

    standing = good / (good + HARM * bad + DOUBT)

`good` and `bad` are sums of evidence. First-hand evidence is what this twin has seen itself: receipts of finished
tasks, answers that served, playbook bullets that it counted helpful or harmful. It fades (HALF_LIFE_DAYS), and what is
good of each kind is capped, so that many small favours do not pay for one large betrayal.

Hearsay are reputation credentials, and only of issuers that the owner named: a credential weighs more the better its
issuer is known first-hand, only the newest of each issuer counts, and all of them together count no more than
HEARSAY_MOST. An issuer that nobody here named weighs nothing, however many of them there are and however much they
vouch for each other; and hearsay about an issuer never makes its own word weigh more. So keys, which cost nothing, buy
no standing.

Unknown is 0, not a half: whoever has done nothing here has no standing here.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from identity.did import Did
from storage.experiences import Experience

Kind = Literal["receipt", "answer", "bullet"]

DOUBT: Final = 2.0
"""Evidence in favour that makes a standing of one half: two finished tasks."""

HARM: Final = 3.0
"""How many good deeds make up for one bad one."""

HALF_LIFE_DAYS: Final = 180.0
"""After half a year an experience counts half."""

CAPS: Final[dict[str, float]] = {"receipt": 40.0, "answer": 8.0, "bullet": 4.0}
"""The most that each kind adds to `good`: finished work first, helpful words last. What is bad is never cut."""

HEARSAY_MOST: Final = 1.0
"""What all credentials together add to `good`, and to `bad`: alone they lift a stranger to a third."""

NAMED_WEIGHT: Final = 0.5
"""What the word of a named twin weighs of which nothing is known yet; with a standing of 1 it would weigh 1."""

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Attestation:
    """A reputation credential that verified: who says it, how good (0 to 1), and on how many contributions."""

    issuer: Did
    score: float
    contributions: int
    issued_ms: int
    credential_id: str


@dataclass(frozen=True, slots=True)
class Term:
    """One line of the sum: first-hand evidence of one kind, or the word of one issuer."""

    source: str
    good: float
    bad: float
    detail: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The number and its reasons."""

    score: float
    terms: tuple[Term, ...]


def standing(
    experiences: Sequence[Experience],
    attestations: Sequence[Attestation],
    *,
    subject: Did,
    named: Collection[Did],
    first_hand_of_issuer: dict[Did, float],
    now_ms: int,
) -> Standing:
    """The standing of `subject`. `first_hand_of_issuer` is `first_hand(...)`'s score of each named issuer."""
    own = _own_terms(experiences, now_ms)
    said = _hearsay(attestations, subject, named, first_hand_of_issuer)
    return Standing(_score((*own, *said)), (*own, *said))


def first_hand(experiences: Sequence[Experience], now_ms: int) -> Standing:
    """The standing by own experience alone: what this twin may itself testify to."""
    terms = _own_terms(experiences, now_ms)
    return Standing(_score(terms), terms)


def _score(terms: Sequence[Term]) -> float:
    good, bad = sum(term.good for term in terms), sum(term.bad for term in terms)
    return round(good / (good + HARM * bad + DOUBT), 4)


def _own_terms(experiences: Sequence[Experience], now_ms: int) -> tuple[Term, ...]:
    terms = []
    for kind, cap in CAPS.items():
        of_kind = [experience for experience in experiences if experience.kind == kind]
        if not of_kind:
            continue
        faded = [(experience, _fading(experience.ts_ms, now_ms)) for experience in of_kind]
        good = min(cap, sum(max(0.0, experience.good) * weight for experience, weight in faded))
        bad = sum(max(0.0, experience.bad) * weight for experience, weight in faded)
        terms.append(Term(kind, round(good, 4), round(bad, 4), f"{len(of_kind)} seen here"))
    return tuple(terms)


def _fading(ts_ms: int, now_ms: int) -> float:
    days = max(0, now_ms - ts_ms) / _DAY_MS
    return float(0.5 ** (days / HALF_LIFE_DAYS))


def _hearsay(
    attestations: Sequence[Attestation], subject: Did, named: Collection[Did], first_hand_of_issuer: dict[Did, float]
) -> tuple[Term, ...]:
    newest: dict[Did, Attestation] = {}
    for attestation in sorted(attestations, key=lambda one: (one.issued_ms, one.credential_id)):
        if attestation.issuer in named and attestation.issuer != subject:
            newest[attestation.issuer] = attestation
    raw = []
    for issuer, attestation in sorted(newest.items()):
        known = first_hand_of_issuer.get(issuer, 0.0)
        weight = NAMED_WEIGHT + (1 - NAMED_WEIGHT) * known
        score = min(1.0, max(0.0, attestation.score))
        enough = min(1.0, attestation.contributions / 3)
        raw.append((issuer, weight * enough * score, weight * enough * (1 - score), attestation))
    most = max(sum(good for _, good, _, _ in raw), sum(bad for _, _, bad, _ in raw), HEARSAY_MOST)
    cut = HEARSAY_MOST / most
    return tuple(
        Term(
            f"credential of {issuer}",
            round(good * cut, 4),
            round(bad * cut, 4),
            f"says {attestation.score:.2f} on {attestation.contributions} contributions",
        )
        for issuer, good, bad, attestation in raw
    )
