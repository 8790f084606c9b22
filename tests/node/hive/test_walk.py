import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_JOSE
from node.hive import walk as walk_module
from node.hive.walk import Walk
from protocols import limits
from protocols.errors import MalformedMessage, RemoteProtocolError, TooLarge
from protocols.playbook.revision import SignedRevision
from tests.node.hive.histories import chain, revision


def taken(walk: Walk, *revisions: SignedRevision) -> Walk:
    for signed in revisions:
        walk.take(signed)
    return walk


def test_a_walk_goes_down_to_what_is_known_and_gives_parents_first() -> None:
    known, low, *rest = chain(5)
    top = rest[-1]
    side = revision(parents=[low])
    joined = revision(parents=[top, side])
    walk = Walk([joined.cid], playbook="common")
    assert walk.wanted(10) == [joined.cid]
    walk.take(joined)
    assert walk.wanted(10) == sorted([top.cid, side.cid])
    taken(walk, top, side, *reversed(rest[:-1]), low)
    assert dict(walk.missing) == {known.cid: low.revision.height}
    walk.settle({known.cid: 1})
    assert not walk.missing
    order = walk.in_order()
    assert set(order) == {one.cid for one in (low, *rest, side, joined)}
    assert order[0] == low.cid
    assert order[-1] == joined.cid
    assert walk.kept(top.cid) == top
    assert walk.sizes.total() == sum(
        len(one.envelope_block) + len(one.payload_block) for one in (low, *rest, side, joined)
    )


def test_what_was_judged_here_and_nobody_asked_for_is_passed_over() -> None:
    (one,) = chain(1)
    walk = Walk([one.cid], playbook="common")
    walk.settle({Cid.of(CODEC_DAG_JOSE, b"other"): 3})
    assert dict(walk.missing).keys() == {one.cid}


@pytest.mark.parametrize("height", [1, 3, 9])
def test_a_height_that_lies_is_refused(height: int) -> None:
    low = revision()
    liar = revision(parents=[low], height=height) if height > 1 else None
    if liar is None:  # a revision with parents cannot say 1 at all
        liar = revision(parents=[revision(parents=[low])], height=2)
        with pytest.raises(MalformedMessage):
            taken(Walk([liar.cid], playbook="common"), liar).settle({liar.revision.parents[0]: 2})
        return
    walk = taken(Walk([liar.cid], playbook="common"), liar, low)
    with pytest.raises(MalformedMessage):
        walk.in_order()


def test_a_parent_as_high_as_its_child_is_refused_at_once() -> None:
    low = revision(parents=[revision()], height=7)
    top = revision(parents=[low], height=7)
    with pytest.raises(MalformedMessage):
        taken(Walk([top.cid], playbook="common"), top, low)


def test_a_revision_of_another_playbook_is_refused() -> None:
    other = revision(playbook="other")
    with pytest.raises(RemoteProtocolError):
        taken(Walk([other.cid], playbook="common"), other)


def test_a_history_of_too_many_revisions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HISTORY_REVISIONS", 5)
    revisions = chain(6)[::-1]
    walk = taken(Walk([revisions[0].cid], playbook="common"), *revisions[:4])
    with pytest.raises(TooLarge):
        taken(walk, *revisions[4:])


def test_names_of_revisions_count_before_they_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HISTORY_REVISIONS", 60)
    top = revision(parents=[revision() for _ in range(limits.MAX_PARENTS)])
    with pytest.raises(TooLarge):
        taken(Walk([top.cid], playbook="common"), top)


def test_a_history_of_too_many_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HISTORY_BYTES", 2000)
    revisions = chain(6)[::-1]
    with pytest.raises(TooLarge):
        taken(Walk([revisions[0].cid], playbook="common"), *revisions)


def test_of_a_long_history_the_lowest_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "KEPT", 2)
    low, middle, top = chain(3)
    walk = taken(Walk([top.cid], playbook="common"), top, middle, low)
    assert [walk.kept(one.cid) for one in (low, middle, top)] == [low, middle, None]
    assert walk.in_order() == [low.cid, middle.cid, top.cid]
