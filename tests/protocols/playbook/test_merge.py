"""The merge is a join-semilattice, its rules are those that it names, and a revision costs only its own size."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.playbook.merge import EMPTY, Playbook, apply, from_revisions, join
from protocols.playbook.ops import Add, Helpful, Metric, Op, Remove, Set, Tool, bullet_id, new_ops
from protocols.playbook.revision import Revision, SignedRevision, sign_revision, verify_revision
from tests.protocols.playbook.reference import merged, shown

AUTHORS = [KeyPair(bytes([number]) * 32) for number in range(3)]
DIDS = [did_key(keys.public) for keys in AUTHORS]


def revise(
    parents: Sequence[SignedRevision], items: list[dict[str, Any]], author: int = 0, *, ts: int = 0
) -> SignedRevision:
    """A revision on top of `parents`; the merge never looks at the signature, so none is made."""
    height = 1 + max((parent.revision.height for parent in parents), default=0)
    ops = new_ops(items, author=DIDS[author], height=height)
    return unsigned(Revision("p", tuple(sorted(p.cid for p in parents)), height, DIDS[author], ts, "", (), ops))


def unsigned(revision: Revision) -> SignedRevision:
    name = repr(revision).encode()
    return SignedRevision(Cid.of(CODEC_DAG_JOSE, name), Cid.of(CODEC_DAG_CBOR, name), revision, b"", b"")


def bullet(author: int, height: int, index: int, text: str = "t") -> str:
    return bullet_id(DIDS[author], height, index, "s", text)


TARGETS = [bullet(author, height, index) for author in range(3) for height in (1, 2, 3) for index in (0, 1)]
ITEMS = st.one_of(
    st.just({"op": "add", "section": "s", "text": "t"}),
    st.builds(lambda tag: {"op": "add", "section": "s", "text": "t", "tags": [tag]}, st.sampled_from("ab")),
    st.builds(lambda target: {"op": "remove", "id": target}, st.sampled_from(TARGETS)),
    st.builds(
        lambda op, target, n: {"op": op, "id": target, "n": n},
        st.sampled_from(["helpful", "harmful"]),
        st.sampled_from(TARGETS),
        st.integers(1, 3),
    ),
    st.builds(
        lambda key, value: {"op": "set", "key": key, "value": value},
        st.sampled_from(["a", "a.b", "a.b.c", "a.d", "instructions"]),
        st.sampled_from([None, "x", "y"]),
    ),
    st.builds(
        lambda meta: {"op": "tool", "name": "t", "meta": meta}, st.sampled_from([None, {}, {"description": "d"}])
    ),
    st.builds(
        lambda name, body: {"op": "template", "name": name, "body": body},
        st.sampled_from(["team", "pair"]),
        st.sampled_from([None, ["planner"], {"planner": 1}]),
    ),
    st.builds(
        lambda total: {"op": "metric", "name": "m", "sum": total},
        st.sampled_from([0.1, 0.2, 1e15, -1e15, 5e-324, -0.3]),
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> list[SignedRevision]:
    """A random DAG: each revision has up to three earlier ones as parents."""
    made: list[SignedRevision] = []
    for number in range(draw(st.integers(1, 9))):
        parents = draw(st.lists(st.sampled_from(made), max_size=3, unique_by=lambda s: s.cid)) if made else []
        items = draw(st.lists(ITEMS, max_size=4))
        made.append(revise(parents, items, draw(st.integers(0, 2)), ts=number))
    return made


def state(playbook: Playbook) -> tuple[object, ...]:
    """Everything that can be seen of a playbook."""
    return playbook.name, shown(playbook), playbook.next_parents


@settings(max_examples=100)
@given(histories(), st.data())
def test_any_part_of_a_history_merges_as_it_is_defined(history: list[SignedRevision], data: st.DataObject) -> None:
    """Loss, repetition and any order: what arrived is a list of some of the revisions, some of them twice."""
    arrived = data.draw(st.lists(st.sampled_from(history), max_size=2 * len(history)))
    playbook = from_revisions("p", arrived)
    assert shown(playbook) == merged("p", arrived)
    assert shown(playbook) == merged("p", set(arrived))


@settings(max_examples=50)
@given(histories(), st.data())
def test_the_hash_kept_up_to_date_is_the_hash_computed_anew(history: list[SignedRevision], data: st.DataObject) -> None:
    playbook = EMPTY("p")
    for count, signed in enumerate(history, 1):
        playbook = apply(playbook, signed)
        if data.draw(st.booleans()):
            assert playbook.state_hash == merged("p", history[:count])["state_hash"]
    assert playbook.state_hash == from_revisions("p", reversed(history)).state_hash


@settings(max_examples=50)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_and_the_repetition_of_revisions_do_not_matter(
    history: list[SignedRevision], rng: random.Random
) -> None:
    shuffled = history + rng.choices(history, k=len(history))
    rng.shuffle(shuffled)
    assert state(from_revisions("p", shuffled)) == state(from_revisions("p", history))


@settings(max_examples=50)
@given(histories(), st.data())
def test_join_is_commutative_associative_and_idempotent(history: list[SignedRevision], data: st.DataObject) -> None:
    subset = st.lists(st.sampled_from(history), max_size=len(history))
    a, b, c = (data.draw(subset) for _ in range(3))
    of_a, of_b = from_revisions("p", a), from_revisions("p", b)
    assert state(join(of_a, b)) == state(join(of_b, a))
    assert state(join(join(of_a, b), c)) == state(join(of_a, [*b, *c])) == state(join(join(of_b, c), a))
    assert state(join(of_a, a)) == state(of_a)
    assert join(of_a, []) is of_a
    assert state(join(EMPTY("p"), a)) == state(of_a)
    assert join(of_a, b) == join(of_b, a)
    assert (of_a == of_b) == (set(a) == set(b))


@settings(max_examples=50)
@given(histories(), st.data())
def test_twins_that_exchange_everything_agree(history: list[SignedRevision], data: st.DataObject) -> None:
    """Three twins hear parts, tell each other in some order, and end in one state."""
    heard = [data.draw(st.lists(st.sampled_from(history))) for _ in range(3)]
    twins = [from_revisions("p", part) for part in heard]
    for _ in range(2):
        for mine in range(3):
            for other in data.draw(st.permutations(range(3))):
                twins[mine] = join(twins[mine], heard[other])
    assert state(twins[0]) == state(twins[1]) == state(twins[2])
    assert len({twin.state_hash for twin in twins}) == 1


@settings(max_examples=25)
@given(histories(), st.data())
def test_a_bad_signature_never_changes_the_state(history: list[SignedRevision], data: st.DataObject) -> None:
    """A block of a revision is changed in one byte, or two are exchanged: nothing of it is used."""
    signed = list(really_signed(history).values())
    playbook = from_revisions("p", data.draw(st.lists(st.sampled_from(signed))))
    before = state(playbook)
    victim, other = data.draw(st.sampled_from(signed)), data.draw(st.sampled_from(signed))
    blocks = [bytearray(victim.envelope_block), bytearray(victim.payload_block)]
    if victim != other and data.draw(st.booleans()):
        blocks[1] = bytearray(other.payload_block)
    else:
        block = data.draw(st.sampled_from(blocks))
        block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        apply(playbook, verify_revision(bytes(blocks[0]), bytes(blocks[1])))
    assert state(playbook) == before


@settings(max_examples=50)
@given(histories())
def test_a_playbook_never_changes(history: list[SignedRevision]) -> None:
    playbook, seen = EMPTY("p"), []
    for signed in history:
        seen.append((playbook, len(playbook.revisions)))
        playbook = apply(playbook, signed)
    for earlier, count in seen:
        assert state(earlier) == state(from_revisions("p", history[:count]))


@settings(max_examples=50)
@given(histories())
def test_heads_are_what_nothing_builds_on(history: list[SignedRevision]) -> None:
    named = {parent for signed in history for parent in signed.revision.parents}
    playbook = from_revisions("p", history)
    assert playbook.heads == {signed.cid for signed in history} - named
    assert playbook.height == max(signed.revision.height for signed in history)


@settings(max_examples=50)
@given(histories())
def test_different_revisions_give_different_hashes(history: list[SignedRevision]) -> None:
    hashes = [from_revisions("p", history[:count]).state_hash for count in range(len(history) + 1)]
    assert len(set(hashes)) == len(hashes)
    assert EMPTY("p").state_hash != EMPTY("q").state_hash


def really_signed(history: Sequence[SignedRevision]) -> dict[Cid, SignedRevision]:
    """The same history with signatures, by the CIDs that it has without."""
    real: dict[Cid, SignedRevision] = {}
    for fake in history:
        r = fake.revision
        parents = tuple(real[parent].cid for parent in r.parents)
        keys = AUTHORS[DIDS.index(r.author)]
        signed = sign_revision(Revision(r.playbook, parents, r.height, r.author, r.ts, r.critique, (), r.ops), keys)
        real[fake.cid] = verify_revision(signed.envelope_block, signed.payload_block)
    return real


@settings(max_examples=15)
@given(histories())
def test_real_signed_revisions_merge_the_same(history: list[SignedRevision]) -> None:
    real = list(really_signed(history).values())
    assert shown(from_revisions("p", real)) == merged("p", real)
    assert from_revisions("p", real).state_hash == from_revisions("p", reversed(real)).state_hash


def test_a_removal_wins_for_ever_and_also_when_it_comes_first() -> None:
    added = revise([], [{"op": "add", "section": "s", "text": "t"}])
    removed = revise([], [{"op": "remove", "id": bullet(0, 1, 0)}], 1)
    again = revise([], [{"op": "add", "section": "s", "text": "t"}], ts=1)
    assert [b.id for b in from_revisions("p", [added]).bullets] == [bullet(0, 1, 0)]
    for order in itertools.permutations([added, removed, again]):
        assert from_revisions("p", order).bullets == ()


def test_counters_add_up_once_for_each_revision() -> None:
    added = revise([], [{"op": "add", "section": "s", "text": "t", "tags": ["x"]}])
    target = bullet(0, 1, 0)
    praise = [revise([added], [{"op": "helpful", "id": target, "n": 2}] * 2, author) for author in range(3)]
    blame = revise([added], [{"op": "harmful", "id": target}], 1)
    playbook = from_revisions("p", [blame, *praise, *praise, added, blame])
    (found,) = playbook.bullets
    assert (found.helpful, found.harmful) == (12, 1)
    assert found.counts == {DIDS[0]: (4, 0), DIDS[1]: (4, 1), DIDS[2]: (4, 0)}
    assert (found.section, found.text, found.tags, found.author) == ("s", "t", ("x",), DIDS[0])
    assert found.revision == added.cid
    assert playbook.bullet(target) == found
    assert playbook.bullet(bullet(1, 1, 0)) is None


def test_counting_a_bullet_that_nobody_added_shows_nothing() -> None:
    assert from_revisions("p", [revise([], [{"op": "helpful", "id": bullet(0, 1, 0)}])]).bullets == ()


def test_one_id_with_two_tags_belongs_to_the_smaller_cid() -> None:
    both = [revise([], [{"op": "add", "section": "s", "text": "t", "tags": [tag]}]) for tag in ("a", "b", "c")]
    winner = min(both, key=lambda signed: signed.cid)
    for order in itertools.permutations(both):
        (found,) = from_revisions("p", order).bullets
        assert found.revision == winner.cid
        assert Add(found.id, found.section, found.text, found.tags) == winner.revision.ops[0]


def test_bullets_are_shown_by_section_then_age() -> None:
    first = revise([], [{"op": "add", "section": "b", "text": "t"}, {"op": "add", "section": "a", "text": "old"}])
    second = revise([first], [{"op": "add", "section": "a", "text": "new"}], 1)
    found = from_revisions("p", [second, first]).bullets
    assert [(b.section, b.text) for b in found] == [("a", "old"), ("a", "new"), ("b", "t")]


def set_a(value: str | None, *, height: int, author: int, ts: int = 0) -> SignedRevision:
    parents = (Cid.of(CODEC_DAG_JOSE, b"not here"),) if height > 1 else ()
    ops: tuple[Op, ...] = (Set("a", value), Tool("t", None if value is None else {"description": value}))
    return unsigned(Revision("p", parents, height, DIDS[author], ts, "", (), ops))


def test_the_last_writer_is_the_higher_then_the_greater_author_then_the_greater_cid() -> None:
    by_author = sorted(range(3), key=lambda number: DIDS[number])
    twins = sorted((set_a(value, height=2, author=by_author[2]) for value in "uvw"), key=lambda s: s.cid)
    ranked = [
        set_a("lowest", height=1, author=by_author[2]),
        set_a("low author", height=2, author=by_author[0]),
        set_a("middle author", height=2, author=by_author[1]),
        *twins,
        set_a("highest", height=3, author=by_author[0]),
    ]
    for lower, higher in itertools.pairwise(ranked):
        for order in ([lower, higher], [higher, lower]):
            playbook = from_revisions("p", order)
            operation = higher.revision.ops[0]
            assert isinstance(operation, Set)
            assert playbook.settings == {"a": operation.value}
            assert playbook.tools == {"t": {"description": operation.value}}


def test_the_clock_of_an_author_decides_nothing() -> None:
    early, late = set_a("high", height=2, author=0, ts=1), set_a("low", height=1, author=0, ts=10**12)
    assert from_revisions("p", [early, late]).settings == {"a": "high"}


def test_within_a_revision_the_last_operation_wins() -> None:
    both = revise([], [{"op": "set", "key": "a", "value": 1}, {"op": "set", "key": "a", "value": 2}])
    assert from_revisions("p", [both]).settings == {"a": 2}


def test_a_setting_ends_what_was_written_before_inside_it_or_around_it() -> None:
    def settings_after(*keys: str) -> dict[str, object]:
        made: list[SignedRevision] = []
        for number, key in enumerate(keys):
            made.append(revise(made[-1:], [{"op": "set", "key": key, "value": number}]))
        return dict(from_revisions("p", made).settings)

    assert settings_after("a.b", "a") == {"a": 1}
    assert settings_after("a", "a.b") == {"a.b": 1}
    assert settings_after("a.c", "a", "a.b") == {"a.b": 2}
    assert settings_after("a.c", "a.b") == {"a.b": 1, "a.c": 0}
    assert settings_after("a", "a.b.c", "a.b", "ab") == {"a.b": 2, "ab": 3}
    assert settings_after('"a.b"', "a", "a.b") == {'"a.b"': 0, "a.b": 2}


def test_taking_out_a_table_takes_out_what_stands_in_it_and_brings_nothing_back() -> None:
    first = revise([], [{"op": "set", "key": "a.b", "value": 1}, {"op": "set", "key": "c", "value": 1}])
    table = revise([first], [{"op": "set", "key": "a", "value": None}])
    assert from_revisions("p", [first, table]).settings == {"c": 1}
    inside = revise([first], [{"op": "set", "key": "c.d", "value": 2}])
    gone = revise([inside], [{"op": "set", "key": "c.d", "value": None}])
    assert from_revisions("p", [first, inside, gone]).settings == {"a.b": 1}
    again = revise([gone], [{"op": "set", "key": "c", "value": 3}])
    assert from_revisions("p", [first, inside, gone, again]).settings == {"a.b": 1, "c": 3}


def test_none_takes_a_setting_and_a_tool_out() -> None:
    there, gone = set_a("x", height=1, author=0), set_a(None, height=2, author=1)
    playbook = from_revisions("p", [gone, there])
    assert (playbook.settings, playbook.tools) == ({}, {})


def test_metrics_are_exact() -> None:
    values = [1e15, 0.1, -1e15, 0.1, 0.1, 5e-324]
    reports = [
        revise([], [{"op": "metric", "name": "m", "sum": value, "count": 2}], ts=n) for n, value in enumerate(values)
    ]
    for order in (reports, reports[::-1]):
        total = from_revisions("p", order).metrics["m"]
        assert total.sum == 0.1 + 0.1 + 0.1
        assert total.count == 12
        assert total.mean == total.sum / 12


def test_next_parents_are_the_highest_heads() -> None:
    wide = [revise([], [], ts=number) for number in range(70)]
    top = revise(wide[:1], [])
    playbook = from_revisions("p", [*wide, top])
    assert len(playbook.heads) == 70
    assert len(playbook.next_parents) == 64
    assert top.cid in playbook.next_parents
    assert list(playbook.next_parents) == sorted(playbook.next_parents)
    assert EMPTY("p").next_parents == ()


def test_playbooks_of_other_names_are_not_mixed() -> None:
    with pytest.raises(LocalProtocolError):
        join(EMPTY("p"), [revise([], []), unsigned(replace(revise([], []).revision, playbook="q"))])
    with pytest.raises(LocalProtocolError):
        apply(EMPTY("q"), revise([], []))


def test_applying_again_gives_the_very_same_playbook() -> None:
    signed = revise([], [])
    playbook = apply(EMPTY("p"), signed)
    assert apply(playbook, signed) is playbook


def chain(length: int) -> list[SignedRevision]:
    target = bullet(0, 1, 0)
    made: list[SignedRevision] = []
    for number in range(length):
        ops: tuple[Op, ...] = (
            Helpful(target),
            Metric("m", 0.5),
            Set(f"k{number}", number),
            Remove(bullet(1, number, 0)),
        )
        parents = (made[-1].cid,) if made else ()
        made.append(unsigned(Revision("p", parents, number + 1, DIDS[0], 0, "", (), ops)))
    return made


def nodes(node: Any) -> Iterator[Any]:
    """Every node of a map's tree."""
    if node is not None:
        yield node
        for child in getattr(node, "children", ()):
            yield from nodes(child)


def test_a_revision_costs_its_own_size() -> None:
    """Counted, not timed: of a thousand revisions' nodes, one more revision makes a handful anew, with their hashes."""
    history = chain(1000)
    before = from_revisions("p", history[:-1])
    assert before.state_hash
    after = apply(before, history[-1])
    for name in ("revisions", "parents", "bullets", "settings", "metrics"):
        was, now = (side.revisions if name == "revisions" else getattr(side.state, name) for side in (before, after))
        old = {id(node): node for node in nodes(was._root)}
        new = [node for node in nodes(now._root) if id(node) not in old]
        assert 1 <= len(new) <= 12
        if name != "parents":
            assert all(node.digest is None for node in new)
    assert after.state_hash != before.state_hash


def test_who_looks_at_nothing_pays_for_no_order() -> None:
    playbook = from_revisions("p", chain(50))
    assert not {"bullets", "settings", "metrics", "state_hash"} & vars(playbook).keys()
    assert playbook.bullets is playbook.bullets
