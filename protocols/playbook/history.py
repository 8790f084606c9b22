"""Fetching a playbook's history from one peer, `/pagi/history/1.0`.

One request, one answer, both canonical dag-cbor. The request names revisions that are wanted, and some that the
requester has; the answer holds the blocks of the wanted ones and of what lies under them, children before parents and
nothing that lies under what the requester has, until `limit` or a bound is reached. The requester goes on with what it
then misses. The responder keeps nothing between two requests and is not trusted: what it gives is checked by its hash,
and a block that no wanted revision leads to is garbage.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from identity.cid import Cid
from identity.errors import MalformedCid
from identity.multibase import CODEC_DAG_JOSE
from protocols import dag_cbor, fields, limits
from protocols.errors import MalformedMessage
from protocols.playbook.revision import parse_name

PROTOCOL: Final = "/pagi/history/1.0"

BlockPair = tuple[bytes, bytes]
"""The two blocks of a revision: envelope and payload."""

_DEPTH: Final = 2

_PAIR_OVERHEAD_BYTES: Final = 10
"""The dag-cbor heads of two byte strings."""

_ANSWER_OVERHEAD_BYTES: Final = 32
"""Key and list head of an answer, rounded up."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """Asks for at most `limit` revisions of a playbook: `want` and what lies under them, but not under `have`."""

    playbook: str
    want: tuple[Cid, ...]
    have: tuple[Cid, ...]
    limit: int

    def encode(self) -> bytes:
        """The request's bytes. Raises LocalProtocolError if it is out of bounds."""
        body = {
            "playbook": self.playbook,
            "want": [bytes(cid) for cid in self.want],
            "have": [bytes(cid) for cid in self.have],
            "limit": self.limit,
        }
        return fields.sendable(HistoryRequest.decode, dag_cbor.encode(body))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a request. Raises RemoteProtocolError."""
        value = dag_cbor.decode(data, max_bytes=limits.MAX_HISTORY_REQUEST_BYTES, max_depth=_DEPTH)
        body = fields.mapping(value, "request")
        want = _revisions(body.get("want"), "want")
        if not want:
            raise MalformedMessage("nothing is wanted")
        return cls(
            playbook=parse_name(body.get("playbook")),
            want=want,
            have=_revisions(body.get("have"), "have"),
            limit=fields.integer(body.get("limit"), "limit", 1, limits.MAX_HISTORY_ANSWER_REVISIONS),
        )


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """Revisions, children before parents; none if the responder has nothing of what is wanted. Not verified yet."""

    revisions: tuple[BlockPair, ...]

    def encode(self) -> bytes:
        """The answer's bytes. Raises LocalProtocolError if it is out of bounds."""
        data = dag_cbor.encode({"blocks": [block for pair in self.revisions for block in pair]})
        return fields.sendable(HistoryAnswer.decode, data)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an answer. Raises RemoteProtocolError."""
        value = dag_cbor.decode(data, max_bytes=limits.MAX_HISTORY_ANSWER_BYTES, max_depth=_DEPTH)
        body = fields.mapping(value, "answer")
        blocks = fields.sequence(body.get("blocks"), "blocks", 2 * limits.MAX_HISTORY_ANSWER_REVISIONS)
        if len(blocks) % 2:
            raise MalformedMessage("'blocks' holds an envelope without its payload")
        read = [_block(block) for block in blocks]
        return cls(tuple(zip(read[::2], read[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Outline:
    """What the responder's walk needs to know of a revision that is on its own disk, and the revision's blocks."""

    playbook: str
    height: int
    parents: tuple[Cid, ...]
    blocks: BlockPair

    @classmethod
    def of(cls, envelope_block: bytes, payload_block: bytes) -> Self:
        """Read it off the payload, without checking anything else. Raises RemoteProtocolError if it is no revision."""
        value = dag_cbor.decode(payload_block, max_bytes=limits.MAX_REVISION_BYTES, max_depth=limits.MAX_REVISION_DEPTH)
        body = fields.mapping(value, "revision")
        return cls(
            parse_name(body.get("playbook")),
            fields.integer(body.get("height"), "height", 1),
            _revisions(body.get("parents"), "parents"),
            (envelope_block, payload_block),
        )


Read = Callable[[Cid], Outline | None]
"""A revision on the responder's disk."""


def answer(request: HistoryRequest, read: Read) -> HistoryAnswer:
    """What a responder that has what `read` gives answers. Reads at most `limits.MAX_HISTORY_READS` revisions."""
    found: list[BlockPair] = []
    room = limits.MAX_HISTORY_ANSWER_BYTES - _ANSWER_OVERHEAD_BYTES
    for outline in _Descent(request, read).missing():
        room -= sum(len(block) for block in outline.blocks) + _PAIR_OVERHEAD_BYTES
        if room < 0:
            break
        found.append(outline.blocks)
        if len(found) == request.limit:
            break
    return HistoryAnswer(tuple(found))


class _Descent:
    """Goes down from what is wanted and from what the requester has, always on at the highest revision.

    When a revision's turn comes, all above it have been looked at, so it is known by then whether the requester has it.
    """

    def __init__(self, request: HistoryRequest, read: Read) -> None:
        self._playbook = request.playbook
        self._read = read
        self._reads = 0
        self._wanted: dict[Cid, Outline] = {}
        self._had: set[Cid] = set()
        self._queue: list[tuple[int, Cid]] = []
        self._seen: dict[Cid, Outline] = {}
        for cid in request.have:
            self._reach(cid, had=True)
        for cid in request.want:
            self._reach(cid, had=False)

    def missing(self) -> Iterator[Outline]:
        """The revisions that the requester has not, highest first."""
        while self._queue and self._wanted:
            _, cid = heapq.heappop(self._queue)
            outline = self._seen[cid]
            had = cid in self._had
            if self._wanted.pop(cid, None) is not None and not had:
                yield outline
            for parent in outline.parents:
                self._reach(parent, had=had)

    def _reach(self, cid: Cid, *, had: bool) -> None:
        outline = self._seen.get(cid)
        if outline is None:
            outline = self._look_at(cid)
            if outline is None:
                return
            self._seen[cid] = outline
            heapq.heappush(self._queue, (-outline.height, cid))
        if had:
            self._had.add(cid)
            self._wanted.pop(cid, None)
        elif cid not in self._had:
            self._wanted[cid] = outline

    def _look_at(self, cid: Cid) -> Outline | None:
        if self._reads == limits.MAX_HISTORY_READS:
            return None
        self._reads += 1
        outline = self._read(cid)
        return outline if outline is not None and outline.playbook == self._playbook else None


def _revisions(value: object, name: str) -> tuple[Cid, ...]:
    """CIDs of revisions, each at most once."""
    items = fields.sequence(value, name, limits.MAX_HISTORY_WANTS)
    try:
        cids = tuple(Cid.from_bytes(item) for item in items if isinstance(item, bytes))
    except MalformedCid as error:
        raise MalformedMessage(f"{name!r} holds what is not a CID") from error
    if len(set(cids)) != len(items) or any(cid.codec != CODEC_DAG_JOSE for cid in cids):
        raise MalformedMessage(f"{name!r} holds what is not a revision, or one twice")
    return cids


def _block(value: object) -> bytes:
    """A block that begins as a map does, so that it can also not be taken for the bytes of a link."""
    if not isinstance(value, bytes) or not value or not 0xA0 <= value[0] <= 0xBF:
        raise MalformedMessage("'blocks' holds what is not a block of a revision")
    return value
