from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from node.hive.canary import is_tried_on
from node.hive.retrieval import BYTES_PER_TOKEN, MAX_BULLETS, Fitting, Retrieval, usefulness
from node.inference.embedder import WordLlamaEmbedder
from protocols.playbook.merge import Bullet
from tests.node.memory.fake import WordEmbedder

ADA, BELA = (did_key(KeyPair(bytes([number]) * 32).public) for number in (1, 2))
ROOM = 10_000


def bullet(text: str, counts: Mapping[Did, tuple[int, int]] | None = None) -> Bullet:
    counted = counts or {}
    return Bullet(
        id=text,
        section="s",
        text=text,
        tags=(),
        helpful=sum(good for good, _ in counted.values()),
        harmful=sum(bad for _, bad in counted.values()),
        author=ADA,
        revision=Cid.of(CODEC_DAG_JOSE, text.encode()),
        counts=counted,
    )


@dataclass
class Asked:
    embedder: WordEmbedder = field(default_factory=lambda: WordEmbedder(dimensions=256))

    def __post_init__(self) -> None:
        self.retrieval = Retrieval(self.embedder)

    def __call__(
        self, goal: str, bullets: Sequence[Bullet], *, ages: Sequence[int] | None = None, tokens: int = ROOM
    ) -> list[str]:
        return [one.bullet.text for one in self.fitting(goal, bullets, ages=ages, tokens=tokens)]

    def fitting(
        self, goal: str, bullets: Sequence[Bullet], *, ages: Sequence[int] | None = None, tokens: int = ROOM
    ) -> tuple[Fitting, ...]:
        return self.retrieval.fitting(goal, bullets, ages=ages or [0] * len(bullets), tokens=tokens)


def test_the_likest_come_first_and_the_rest_stays_out() -> None:
    found = Asked()("flour mill", [bullet("kiln bricks"), bullet("flour of rye"), bullet("flour mill")])
    assert found == ["flour mill", "flour of rye"]
    assert Asked()("flour mill", []) == []


def test_what_was_counted_decides_between_those_that_are_about_as_alike() -> None:
    praised, plain = bullet("mill flour one", {BELA: (3, 0)}), bullet("mill flour two")
    blamed = bullet("mill flour three", {BELA: (0, 2)})
    assert Asked()("flour mill", [plain, blamed, praised]) == [one.text for one in (praised, plain, blamed)]


def test_a_bullet_that_only_did_harm_is_given_no_longer() -> None:
    assert Asked()("flour mill", [bullet("flour mill", {BELA: (0, 3)})]) == []
    assert Asked()("flour mill", [bullet("flour mill", {BELA: (1, 3)})]) == ["flour mill"]


def test_nobody_makes_a_bullet_good_or_bad_alone() -> None:
    assert usefulness(bullet("x", {BELA: (1000, 0)})) == usefulness(bullet("x", {BELA: (5, 0)}))
    assert usefulness(bullet("x", {BELA: (0, 1000), ADA: (5, 0)})) == 0.5
    assert usefulness(bullet("x", {BELA: (0, 1), ADA: (1, 0)}), trusted={ADA}) > 0.5


def test_of_two_that_are_the_same_otherwise_the_newer_one_comes_first() -> None:
    old, new = bullet("flour mill old"), bullet("flour mill new")
    assert Asked()("flour mill", [old, new], ages=[500, 0])[0] == new.text
    assert Asked()("flour mill", [old, new], ages=[0, 500])[0] == old.text


def test_no_more_than_there_is_room_for() -> None:
    long, short = bullet("flour mill " + "stone " * 40), bullet("flour mill flume")
    room = len(short.text) // BYTES_PER_TOKEN + 1
    assert Asked()("flour mill", [long, short], tokens=room) == [short.text]
    assert Asked()("flour mill", [long, short], tokens=room - 1) == []
    assert len(Asked()("flour mill", [bullet(f"flour mill {n}") for n in range(MAX_BULLETS + 3)])) == MAX_BULLETS


def test_a_bullet_is_embedded_once() -> None:
    asked = Asked()
    bullets = [bullet("flour mill"), bullet("flour of rye")]
    asked("flour", bullets)
    before = asked.embedder.embedded
    asked("mill", bullets)
    assert asked.embedder.embedded == before + 1  # the goal


def test_the_share_of_jobs_that_try_a_bullet_is_about_what_it_should_be_and_stays() -> None:
    first, second = (Cid.of(CODEC_DAG_JOSE, name) for name in (b"first", b"second"))

    def drawn(cid: Cid, share: float) -> list[bool]:
        return [is_tried_on(f"job {number}", cid, share) for number in range(2000)]

    assert 400 < sum(drawn(first, 0.25)) < 600
    assert drawn(first, 0.25) == drawn(first, 0.25)
    assert drawn(first, 0.25) != drawn(second, 0.25)
    assert not any(drawn(first, 0.0))
    assert all(drawn(first, 1.0))


@pytest.mark.slow
def test_the_threshold_fits_the_embedder_that_we_ship() -> None:
    rules = [bullet("Give the weight of flour in tonnes."), bullet("Comets are named after who saw them first.")]
    retrieval = Retrieval(WordLlamaEmbedder())
    found = retrieval.fitting("How much flour does the mill grind?", rules, ages=[0, 0], tokens=ROOM)
    assert [one.bullet for one in found] == rules[:1]


def test_nobody_drives_out_the_bullets_of_another_by_writing_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.hive.retrieval.MAX_OFFERED", 4)
    asked = Asked()
    flood = [bullet(f"mill {n}") for n in range(20)]
    found = asked("flour mill", [*flood, replace(bullet("flour mill"), author=BELA)], ages=[*[0] * 20, 9])
    assert found[0] == "flour mill"
    assert len(found) == 4
    asked("flour mill", [replace(one, id=f"{one.id} again") for one in flood])
    assert len(asked.retrieval._vectors) <= 2 * 4


def test_rare_letters_take_the_room_that_they_cost() -> None:
    assert Asked()("flour mill", [bullet("flour mill " + "\N{WHEEL OF DHARMA}" * 40)], tokens=30) == []


def test_whom_to_ask_is_no_rule_for_an_answer() -> None:
    route = replace(bullet("flour mill"), section="routing", tags=("ask:did:key:zBela",))
    assert Asked()("flour mill", [route]) == []
