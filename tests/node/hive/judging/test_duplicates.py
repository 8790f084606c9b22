import asyncio
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from identity.did import Did, did_key
from identity.keys import KeyPair
from node.hive.judging.duplicates import Duplicates, Lesson, leaving, lessons
from node.hive.judging.errors import NotDuplicates
from protocols.playbook.merge import EMPTY, Bullet, Playbook, apply
from protocols.playbook.revision import Revision, SignedRevision, new_ops, sign_revision
from storage.duplicates import Pair
from tests.node.memory.fake import WordEmbedder

KEYS = [KeyPair(bytes([n]) * 32) for n in range(4)]
ANNA, BEN, *_ = (did_key(keys.public) for keys in KEYS)

THANKS = ("Thank whoever answered", "Thank whoever answered you", "Please thank whoever answered")
UNITS = ("Name the unit", "Name the unit always")


def revision(
    text: str, keys: KeyPair = KEYS[0], *, section: str = "manners", counts: Sequence[str] = ()
) -> SignedRevision:
    author = did_key(keys.public)
    ops = [{"op": "add", "section": section, "text": text, "tags": []}]
    ops += [{"op": "helpful", "id": bullet} for bullet in counts]  # type: ignore[misc]
    return sign_revision(
        Revision("common", (), 1, author, 0, "because", (), new_ops(ops, author=author, height=1)), keys
    )


def play(revisions: Iterable[SignedRevision]) -> tuple[Playbook, set[tuple[str, str]]]:
    """The playbook after these came one by one, and the pairs that were found."""

    async def main() -> tuple[Playbook, set[tuple[str, str]]]:
        found = Duplicates(WordEmbedder(dimensions=1024))
        playbook, pairs = EMPTY("common"), set()
        for signed in revisions:
            playbook = apply(playbook, signed)
            added = [bullet for bullet in playbook.bullets if bullet.revision == signed.cid]
            pairs |= {(pair.a, pair.b) for pair in await found.pairs(playbook, added, keep=True)}
        return playbook, pairs

    return asyncio.run(main())


def shown(playbook: Playbook, pairs: Iterable[tuple[str, str]], trusted: Sequence[Did] = (ANNA,)) -> tuple[Lesson, ...]:
    return lessons(playbook, [Pair(a, b, 1.0) for a, b in pairs], lambda did: int(did not in trusted))


@settings(max_examples=30, deadline=None)
@given(st.permutations([revision(text, keys) for text in (*THANKS, *UNITS) for keys in KEYS[:2]]))
def test_the_order_of_arrival_does_not_matter(revisions: list[SignedRevision]) -> None:
    playbook, pairs = play(revisions)
    usual, expected = play(sorted(revisions, key=lambda signed: signed.cid))
    assert pairs == expected
    assert shown(playbook, pairs) == shown(usual, expected)
    assert len(shown(playbook, pairs)) == 2
    assert playbook.state_hash == usual.state_hash


def test_a_group_is_shown_by_the_trusted_and_oldest_with_all_counts() -> None:
    old = revision(THANKS[0], KEYS[1])
    (bullet,) = apply(EMPTY("common"), old).bullets
    playbook, pairs = play([old, revision(THANKS[1], KEYS[0], counts=[bullet.id, bullet.id])])
    (lesson,) = shown(playbook, pairs)
    assert (lesson.bullet.author, [other.author for other in lesson.same]) == (ANNA, [BEN])
    assert (lesson.bullet.helpful, lesson.bullet.counts) == (2, {ANNA: (2, 0)})
    assert len(playbook.bullets) == 2  # the playbook itself is as it was
    (alike,) = shown(playbook, pairs, trusted=())
    assert alike.bullet.id == min(bullet.id for bullet in playbook.bullets)  # of the same height: by id


def test_other_sections_and_turned_words_stay_apart() -> None:
    playbook, pairs = play(
        [revision(THANKS[0]), revision(THANKS[1], section="other"), revision("Never thank whoever answered")]
    )
    assert pairs == set()
    assert [lesson.same for lesson in shown(playbook, pairs)] == [(), (), ()]


def test_a_removed_bullet_is_in_no_group() -> None:
    first, second = revision(THANKS[0]), revision(THANKS[1], KEYS[1])
    playbook, pairs = play([first, second])
    (old,) = apply(EMPTY("common"), first).bullets
    author = did_key(KEYS[2].public)
    gone = Revision(
        "common", (), 1, author, 0, "", (), new_ops([{"op": "remove", "id": old.id}], author=author, height=1)
    )
    (lesson,) = shown(apply(playbook, sign_revision(gone, KEYS[2])), pairs)
    assert (lesson.bullet.author, lesson.same) == (BEN, ())


def test_leaving_a_group() -> None:
    playbook, pairs = play([revision(text) for text in THANKS])
    (group,) = shown(playbook, pairs)
    first, second, third = (group.bullet.id, *(other.id for other in group.same))
    split = leaving((group,), first, second)
    assert {frozenset(pair) for pair in split} == {frozenset((second, first)), frozenset((second, third))}
    after = lessons(
        playbook,
        [Pair(a, b, 1.0, split=(a, b) in split or (b, a) in split) for a, b in pairs],
        lambda did: True,
    )
    assert sorted(len(lesson.same) for lesson in after) == [0, 1]
    for a, b in ((first, first), (first, "nobody")):
        with pytest.raises(NotDuplicates):
            leaving((group,), a, b)


class _RandomEmbedder(WordEmbedder):
    """Texts that are all unlike each other, quickly."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += len(texts)
        rng = np.random.default_rng(len(texts))
        vectors = rng.standard_normal((len(texts), self.dimensions)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


@pytest.mark.slow
def test_one_more_bullet_embeds_one_text_however_many_there_are() -> None:
    async def main() -> None:
        embedder = _RandomEmbedder(dimensions=256)
        found = Duplicates(embedder)
        many = [Bullet(f"b{n}", "manners", f"text {n}", (), 0, 0, ANNA, revision("x").cid) for n in range(10_000)]
        await found.pairs(EMPTY("common"), many, keep=True)
        embedder.embedded = 0
        for n in range(20):
            more = Bullet(f"c{n}", "manners", f"more {n}", (), 0, 0, ANNA, revision("x").cid)
            await found.pairs(EMPTY("common"), [more], keep=True)
        assert embedder.embedded == 20

    asyncio.run(main())


def test_in_a_playbook_of_too_many_bullets_later_ones_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.limits.MAX_BULLETS_COMPARED", 2)
    _, pairs = play([revision(text) for text in THANKS])
    assert len(pairs) == 1
