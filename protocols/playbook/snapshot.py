"""A snapshot: what a playbook holds at one moment, signed, so that a newcomer sees it before it has the history.

A dag-cbor root, signed by a dag-jose block as a revision is, links to chunks that hold what is in effect and name every
revision that was applied. A stock IPFS node that pins the signed block has the history with it.

A snapshot never feeds the merge: it gives a provisional playbook to look at, and the list of what to fetch. Its
`state_hash` must be that of what it holds, which is checked on reading; and that of the join of the revisions that it
names, which only who has fetched them can tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import dag_cbor, fields, limits
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, SenderMismatch
from protocols.playbook import dag_jose
from protocols.playbook.links import link, links, members
from protocols.playbook.merge import Playbook
from protocols.playbook.revision import parse_name
from protocols.playbook.rows import KINDS, rows_of, view_of

KIND: Final = "snapshot"

_ROOT_DEPTH: Final = 2
_CHUNK_DEPTH: Final = limits.MAX_VALUE_DEPTH + 3
_STATE_HASH_CHARS: Final = 64
_ROW_OVERHEAD_BYTES: Final = 64
"""What a chunk holds beside its rows: the names of its lists and their heads, in bytes."""

_KEYS: Final = frozenset(
    {"v", "kind", "playbook", "author", "ts", "heads", "height", "revisions", "state_hash", "chunks"}
)


@dataclass(frozen=True, slots=True)
class SnapshotRoot:
    """What the root says: `revisions` is their number, `ts` the author's clock in milliseconds since 1970.

    `heads` are the highest ones if there are more than a revision may have parents.
    """

    playbook: str
    author: Did
    ts: int
    heads: tuple[Cid, ...]
    height: int
    revisions: int
    state_hash: str
    chunks: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot's signed root. `cid` names the envelope: this is what is announced and pinned."""

    cid: Cid
    payload_cid: Cid
    root: SnapshotRoot
    envelope_block: bytes
    payload_block: bytes


def write_snapshot(playbook: Playbook, *, keys: KeyPair, now_ms: int) -> tuple[Snapshot, Mapping[Cid, bytes]]:
    """The snapshot of a playbook and all of its blocks by CID, those of the root among them.

    Costs what the playbook is long. Raises LocalProtocolError if it is empty, provisional, or too long for a snapshot.
    """
    if playbook.provisional or not playbook.heads:
        raise LocalProtocolError("only a playbook whose revisions are here can be put into a snapshot")
    chunks = {Cid.of(CODEC_DAG_CBOR, block): block for block in _chunks(playbook)}
    payload_block = dag_cbor.encode(
        {
            "v": 1,
            "kind": KIND,
            "playbook": playbook.name,
            "author": did_key(keys.public),
            "ts": now_ms,
            "heads": [bytes(head) for head in playbook.next_parents],
            "height": playbook.height,
            "revisions": len(playbook.revisions),
            "state_hash": playbook.state_hash,
            "chunks": [bytes(cid) for cid in chunks],
        }
    )
    payload_cid = Cid.of(CODEC_DAG_CBOR, payload_block)
    try:
        snapshot = verify_snapshot(dag_jose.seal(payload_cid, keys), payload_block)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not fit to be signed: {error}") from error
    return snapshot, {**chunks, payload_cid: payload_block, snapshot.cid: snapshot.envelope_block}


def verify_snapshot(envelope_block: bytes, payload_block: bytes) -> Snapshot:
    """Check both blocks of a root and read what it says. Raises RemoteProtocolError as `verify_revision` does."""
    envelope, value = dag_jose.opened(
        envelope_block, payload_block, max_bytes=limits.MAX_SNAPSHOT_ROOT_BYTES, max_depth=_ROOT_DEPTH
    )
    body = members(value, "snapshot", _KEYS)
    if body["kind"] != KIND:
        raise MalformedMessage("a signed block of another kind")
    author = Did(fields.line(body["author"], "author", limits.MAX_KID_CHARS))
    if author != envelope.signer:
        raise SenderMismatch("the snapshot's author is not who signed it")
    heads = links(body["heads"], "heads", CODEC_DAG_JOSE, limits.MAX_PARENTS)
    chunks = fields.sequence(body["chunks"], "chunks", limits.MAX_SNAPSHOT_CHUNKS)
    if not heads or not chunks:
        raise MalformedMessage("a snapshot of nothing")
    root = SnapshotRoot(
        playbook=parse_name(body["playbook"]),
        author=author,
        ts=fields.integer(body["ts"], "ts", 0),
        heads=heads,
        height=fields.integer(body["height"], "height", 1),
        revisions=fields.integer(body["revisions"], "revisions", 1),
        state_hash=fields.line(body["state_hash"], "state_hash", _STATE_HASH_CHARS, min_chars=_STATE_HASH_CHARS),
        chunks=tuple(link(item, "chunks", CODEC_DAG_CBOR) for item in chunks),
    )
    if len(set(root.chunks)) != len(root.chunks):
        raise MalformedMessage("'chunks' names something twice")
    cid = Cid.of(CODEC_DAG_JOSE, envelope_block)
    return Snapshot(cid, envelope.payload, root, envelope_block, payload_block)


def read_snapshot(root: SnapshotRoot, chunks: Sequence[bytes]) -> Playbook:
    """The provisional playbook that a snapshot shows; its `revisions` are what to fetch.

    `chunks` are the blocks that `root.chunks` names, in that order; costs what they are long. Raises
    RemoteProtocolError if one is another block or malformed, or if they do not add up to what the root says.
    """
    if len(chunks) != len(root.chunks):
        raise MalformedMessage("not all chunks of the snapshot")
    tables: dict[str, list[object]] = {kind: [] for kind in KINDS}
    for cid, block in zip(root.chunks, chunks, strict=True):
        value = dag_cbor.decode(block, max_bytes=limits.MAX_REVISION_BYTES, max_depth=_CHUNK_DEPTH)
        if not cid.matches(block):
            raise MalformedMessage("a chunk is another block than the snapshot names")
        body = fields.mapping(value, "chunk")
        if not body.keys() <= tables.keys():
            raise MalformedMessage("a chunk holds something unknown")
        for kind, rows in body.items():
            tables[kind] += fields.sequence(rows, kind, limits.MAX_CBOR_ITEMS)
    view = view_of(root.playbook, frozenset(root.heads), tables)
    if (view.height, len(view.revisions), view.state_hash) != (root.height, root.revisions, root.state_hash):
        raise MalformedMessage("the snapshot does not hold what it says")
    return view


def _chunks(playbook: Playbook) -> Iterator[bytes]:
    """The chunks' blocks, in order: each holds as many rows as the bounds on one block allow."""
    chunk: dict[str, list[object]] = {}
    size_bytes = items = 0
    for kind, row in rows_of(playbook):
        row_bytes, row_items = len(dag_cbor.encode(row)), _items(row)
        over = size_bytes + row_bytes + _ROW_OVERHEAD_BYTES * len(KINDS) > limits.MAX_REVISION_BYTES
        if chunk and (over or items + row_items + 2 * len(KINDS) + 1 > limits.MAX_CBOR_ITEMS):
            yield dag_cbor.encode(chunk)
            chunk, size_bytes, items = {}, 0, 0
        chunk.setdefault(kind, []).append(row)
        size_bytes += row_bytes
        items += row_items
    yield dag_cbor.encode(chunk)


def _items(value: object) -> int:
    """The values that a reader counts: every list, map, key and entry; a link as two."""
    if isinstance(value, Mapping):
        return 1 + sum(1 + _items(item) for item in value.values())
    if isinstance(value, list | tuple):
        return 1 + sum(map(_items, value))
    return 2 if isinstance(value, bytes) else 1
