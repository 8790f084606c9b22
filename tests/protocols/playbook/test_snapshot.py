"""A snapshot shows what the playbook shows, names its whole history, and cannot say what it does not hold."""

from collections.abc import Mapping
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import dag_cbor, limits
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, SenderMismatch
from protocols.playbook import dag_jose
from protocols.playbook.merge import EMPTY, Playbook, apply, from_revisions
from protocols.playbook.revision import Revision, SignedRevision, new_ops, sign_revision
from protocols.playbook.snapshot import Snapshot, SnapshotRoot, read_snapshot, verify_snapshot, write_snapshot
from tests.protocols.playbook.reference import shown
from tests.protocols.playbook.test_merge import histories

KEYS = KeyPair(bytes(range(32)))
OTHER = KeyPair(bytes(32))
DID = did_key(KEYS.public)


def revise(items: list[dict[str, Any]], *parents: SignedRevision, keys: KeyPair = KEYS) -> SignedRevision:
    author, height = did_key(keys.public), 1 + max((p.revision.height for p in parents), default=0)
    ops = new_ops(items, author=author, height=height)
    return sign_revision(Revision("p", tuple(p.cid for p in parents), height, author, 0, "", (), ops), keys)


def sample() -> tuple[Playbook, list[SignedRevision]]:
    first = revise([{"op": "add", "section": "s", "text": f"rule {n}", "tags": ["x"]} for n in range(3)])
    target = first.revision.ops[0].id  # type: ignore[union-attr]
    items: list[dict[str, Any]] = [
        {"op": "helpful", "id": target, "n": 3},
        {"op": "set", "key": "a.b", "value": [1, 2.5, {"x": True}]},
        {"op": "set", "key": "a", "value": 1},
        {"op": "set", "key": "gone", "value": None},
        {"op": "tool", "name": "t", "meta": {"parameters": {}}},
        {"op": "template", "name": "team", "body": ["planner"]},
        {"op": "metric", "name": "m", "sum": 0.1, "count": 3},
    ]
    second = revise(items, first, keys=OTHER)
    third = revise([{"op": "remove", "id": first.revision.ops[1].id}], first)  # type: ignore[union-attr]
    return from_revisions("p", [first, second, third]), [first, second, third]


def read_back(snapshot: Snapshot, blocks: Mapping[Cid, bytes]) -> Playbook:
    found = verify_snapshot(blocks[snapshot.cid], blocks[snapshot.payload_cid])
    return read_snapshot(found.root, [blocks[cid] for cid in found.root.chunks])


def test_it_shows_what_the_playbook_shows() -> None:
    playbook, _ = sample()
    snapshot, blocks = write_snapshot(playbook, keys=KEYS, now_ms=7)
    view = read_back(snapshot, blocks)
    assert shown(view) == shown(playbook)
    assert view.next_parents == playbook.next_parents
    assert (snapshot.root.author, snapshot.root.ts, snapshot.root.revisions) == (DID, 7, 3)
    assert all(cid.matches(block) for cid, block in blocks.items())


@settings(max_examples=40)
@given(histories())
def test_any_playbook_is_shown_by_its_snapshot(history: list[SignedRevision]) -> None:
    playbook = from_revisions("p", history)
    assert shown(read_back(*write_snapshot(playbook, keys=KEYS, now_ms=0))) == shown(playbook)


@settings(max_examples=20)
@given(histories(), st.randoms(use_true_random=False))
def test_the_same_state_gives_the_same_chunks(history: list[SignedRevision], rng: Any) -> None:
    shuffled = rng.sample(history, len(history))
    mine, _ = write_snapshot(from_revisions("p", history), keys=KEYS, now_ms=0)
    assert mine == write_snapshot(from_revisions("p", shuffled), keys=KEYS, now_ms=0)[0]


def links_in(value: object) -> list[Cid]:
    """The links of a block as a second codec reads them."""
    if isinstance(value, cbor2.CBORTag):
        return [Cid.from_bytes(value.value[1:])]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [cid for item in inner for cid in links_in(item)]


def test_an_ipfs_node_that_follows_its_links_has_every_revision() -> None:
    playbook, history = sample()
    snapshot, blocks = write_snapshot(playbook, keys=KEYS, now_ms=0)
    reached: set[Cid] = set()
    to_visit = [Cid.from_bytes(cbor2.loads(blocks[snapshot.cid])["payload"])]
    while to_visit:
        cid = to_visit.pop()
        reached.add(cid)
        if cid in blocks:
            to_visit.extend(links_in(cbor2.loads(blocks[cid])))
    assert reached >= {signed.cid for signed in history} | set(snapshot.root.chunks)


def test_a_snapshot_is_only_looked_at() -> None:
    playbook, history = sample()
    view = read_back(*write_snapshot(playbook, keys=KEYS, now_ms=0))
    assert view.provisional
    assert view != playbook
    with pytest.raises(LocalProtocolError):
        apply(view, history[0])
    with pytest.raises(LocalProtocolError):
        write_snapshot(view, keys=KEYS, now_ms=0)
    with pytest.raises(LocalProtocolError):
        write_snapshot(EMPTY("p"), keys=KEYS, now_ms=0)


@pytest.mark.slow
def test_a_long_playbook_is_cut_into_chunks_that_can_be_read() -> None:
    """Values of many small items and counters of many authors: both bounds of a block are reached."""
    history = [revise([{"op": "set", "key": f"k{n}.{m}", "value": [0] * 3900} for m in range(8)]) for n in range(5)]
    history.append(revise([{"op": "add", "section": "s", "text": "t" * 4096} for _ in range(50)]))
    target = history[-1].revision.ops[0].id  # type: ignore[union-attr]
    for number in range(300):
        history.append(revise([{"op": "helpful", "id": target}], history[-1], keys=KeyPair(number.to_bytes(32))))
    playbook = from_revisions("p", history)
    snapshot, blocks = write_snapshot(playbook, keys=KEYS, now_ms=0)
    assert len(snapshot.root.chunks) >= 6
    assert all(len(block) <= limits.MAX_REVISION_BYTES for block in blocks.values())
    assert shown(read_back(snapshot, blocks)) == shown(playbook)


def chunk() -> dict[str, Any]:
    snapshot, blocks = write_snapshot(sample()[0], keys=KEYS, now_ms=0)
    value = dag_cbor.decode(blocks[snapshot.root.chunks[0]], max_bytes=10_000, max_depth=20)
    assert isinstance(value, dict)
    return value


def root_of(block: bytes) -> SnapshotRoot:
    """The honest root, but over this chunk."""
    root = write_snapshot(sample()[0], keys=KEYS, now_ms=0)[0].root
    chunks = (Cid.of(CODEC_DAG_CBOR, block),)
    return SnapshotRoot(
        *(root.playbook, root.author, root.ts, root.heads, root.height, root.revisions, root.state_hash, chunks)
    )


def test_the_honest_chunk_is_taken() -> None:
    block = dag_cbor.encode(chunk())
    assert read_snapshot(root_of(block), [block]).state_hash == sample()[0].state_hash


LINK = bytes(Cid.of(CODEC_DAG_JOSE, b"unknown"))


@pytest.mark.parametrize(
    "change",
    [
        {"extra": []},
        {"bullets": []},
        {"bullets": None},
        {"bullets": chunk()["bullets"] * 2},
        {"bullets": [[*row[:1], "other", *row[2:]] for row in chunk()["bullets"]]},
        {"bullets": [[*row[:5], 255 - row[5]] for row in chunk()["bullets"]]},
        {"bullets": [[*row[:5], 256] for row in chunk()["bullets"]]},
        {"bullets": [[*row[:4], LINK, row[5]] for row in chunk()["bullets"]]},
        {"bullets": [row[:5] for row in chunk()["bullets"]]},
        {"counts": []},
        {"counts": [["b" + "a" * 32, DID, 1, 0]]},
        {"counts": [[row[0], DID, row[2], row[3]] for row in chunk()["counts"]]},
        {"counts": [[*row[:2], row[2] + 1, row[3]] for row in chunk()["counts"]]},
        {"counts": [[*row[:2], -1, row[3]] for row in chunk()["counts"]]},
        {"settings": []},
        {"settings": chunk()["settings"] * 2},
        {"settings": [["version", *row[1:]] for row in chunk()["settings"]]},
        {"settings": [[row[0], 9, *row[2:]] for row in chunk()["settings"]]},
        {"settings": [[*row[:2], DID, *row[3:]] for row in chunk()["settings"]]},
        {"tools": [["other", *row[1:]] for row in chunk()["tools"]]},
        {"templates": [[*row[:1], [], *row[2:]] for row in chunk()["templates"]]},
        {"metrics": [["m", 0.2, 3]]},
        {"metrics": [["m", 1, 3]]},
        {"metrics": [["m", 1e31, 3]]},
        {"metrics": chunk()["metrics"] * 2},
        {"revisions": chunk()["revisions"][:2]},
        {"revisions": [*chunk()["revisions"], [LINK, 1]]},
        {"revisions": [[row[0], 9] for row in chunk()["revisions"]]},
        {"revisions": [[row[0], 0] for row in chunk()["revisions"]]},
        {"revisions": [["x", 1]]},
    ],
    ids=range(30),
)
def test_a_chunk_that_says_anything_else_is_refused(change: dict[str, Any]) -> None:
    block = dag_cbor.encode(chunk() | change)
    with pytest.raises(RemoteProtocolError):
        read_snapshot(root_of(block), [block])


def test_other_chunks_than_the_root_names_are_refused() -> None:
    snapshot, blocks = write_snapshot(sample()[0], keys=KEYS, now_ms=0)
    block = blocks[snapshot.root.chunks[0]]
    for chunks in ([], [block, block], [dag_cbor.encode({})]):
        with pytest.raises(MalformedMessage):
            read_snapshot(snapshot.root, chunks)


def signed(body: dict[str, Any], keys: KeyPair = KEYS) -> Snapshot:
    block = dag_cbor.encode(body)
    return verify_snapshot(dag_jose.seal(Cid.of(CODEC_DAG_CBOR, block), keys), block)


def root_body(**members: Any) -> dict[str, Any]:
    snapshot, _ = write_snapshot(sample()[0], keys=KEYS, now_ms=0)
    value = dag_cbor.decode(snapshot.payload_block, max_bytes=10_000, max_depth=5)
    assert isinstance(value, dict)
    return value | members


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"kind": "gate"},
        {"extra": 1},
        {"playbook": "No Name"},
        {"heads": []},
        {"heads": [bytes(Cid.of(CODEC_DAG_CBOR, b""))]},
        {"heads": [LINK, LINK]},
        {"height": 0},
        {"revisions": 0},
        {"state_hash": "0" * 63},
        {"chunks": []},
        {"chunks": [LINK]},
        {"chunks": [bytes(Cid.of(CODEC_DAG_CBOR, b""))] * 2},
        {"chunks": [bytes(Cid.of(CODEC_DAG_CBOR, number.to_bytes(2))) for number in range(257)]},
        {"ts": -1},
        {"author": 1},
    ],
    ids=lambda change: str(change)[:40],
)
def test_the_root_is_strict(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        signed(root_body(**change))


def test_the_author_is_who_signed() -> None:
    with pytest.raises(SenderMismatch):
        signed(root_body(), OTHER)


@given(st.data())
def test_no_changed_byte_verifies(data: st.DataObject) -> None:
    snapshot, _ = write_snapshot(sample()[0], keys=KEYS, now_ms=0)
    blocks = [bytearray(snapshot.envelope_block), bytearray(snapshot.payload_block)]
    block = data.draw(st.sampled_from(blocks))
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        verify_snapshot(bytes(blocks[0]), bytes(blocks[1]))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-5, 2**40)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=4)
        | st.just(LINK),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["bullets", "counts", "settings", "tools", "revisions", "metrics"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_any_signed_value_is_read_or_refused(value: Any) -> None:
    block = dag_cbor.encode(value)
    with pytest.raises(RemoteProtocolError):
        read_snapshot(root_of(block), [block])
    with pytest.raises(RemoteProtocolError):
        signed({**root_body(), "chunks": value})
