from identity.did import did_key
from node.hive.hiding import without
from protocols.playbook import merge
from protocols.playbook.revision import new_ops
from protocols.playbook.snapshot import read_snapshot, write_snapshot
from tests.node.hive.histories import revision
from tests.node.parts import START_MS, new_keys

NAMED, STRANGER = new_keys(), new_keys()


def test_only_what_the_allowed_wrote_and_counted_is_shown() -> None:
    named, stranger = did_key(NAMED.public), did_key(STRANGER.public)

    def ops(author: str, *items: dict[str, object]) -> object:
        return new_ops(items, author=author, height=1)  # type: ignore[arg-type]

    first = revision(NAMED)
    second = revision(NAMED)
    bullet, hidden = first.revision.ops[0].id, second.revision.ops[0].id  # type: ignore[union-attr]
    said = [
        {"op": "set", "key": "tone", "value": "warm"},
        {"op": "tool", "name": "scale", "meta": {"unit": "kg"}},
        {"op": "metric", "name": "speed", "sum": 1.0, "count": 1},
    ]
    others = revision(STRANGER, ops=ops(stranger, {"op": "helpful", "id": bullet, "n": 9}, *said))
    own = revision(NAMED, ops=ops(named, {"op": "helpful", "id": bullet, "n": 1}, said[0] | {"key": "pace"}))
    lesson = revision(STRANGER)
    playbook = merge.from_revisions("common", [first, second, others, own, lesson])
    snapshot, blocks = write_snapshot(playbook, keys=NAMED, now_ms=START_MS)
    whole = read_snapshot(snapshot.root, [blocks[cid] for cid in snapshot.root.chunks])
    assert len(whole.bullets) == 3
    shown = without(whole, allows=lambda did: did == named, hidden={hidden})
    assert [(one.id, one.helpful) for one in shown.bullets] == [(bullet, 1)]
    assert (dict(shown.settings), dict(shown.tools), dict(shown.metrics)) == ({"pace": "warm"}, {}, {})
    assert shown.provisional
    assert shown.revisions is whole.revisions
