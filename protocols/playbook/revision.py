"""A playbook revision: a signed node of a Merkle-CRDT.

The payload is a dag-cbor block; a dag-jose block signs its CID (see dag_jose.py). Heads and parents name the
*envelope*, so that whoever follows them has every signature; a stock IPFS node follows envelope, payload and parents.

Everything that one revision says by itself is checked here. Whether its author is trusted is the node's policy.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import dag_cbor, fields, limits
from protocols.errors import (
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
    SenderMismatch,
)
from protocols.playbook import dag_jose
from protocols.playbook.links import link, links, members
from protocols.playbook.ops import (
    Add,
    Harmful,
    Helpful,
    Metric,
    Op,
    Remove,
    Set,
    Template,
    Tool,
    Value,
    bullet_id,
    new_ops,
    read_op,
    write_op,
)

__all__ = [
    "Add",
    "Harmful",
    "Helpful",
    "Metric",
    "Op",
    "Remove",
    "Revision",
    "Set",
    "SignedRevision",
    "Template",
    "Tool",
    "Value",
    "bullet_id",
    "check_height",
    "link_of",
    "new_ops",
    "next_height",
    "parse_name",
    "sign_revision",
    "verify_revision",
]

VERSION: Final = 1
_KEYS: Final = frozenset({"v", "playbook", "parents", "height", "author", "ts", "critique", "evidence", "ops"})
_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Revision:
    """What a revision says. `ts` is the author's clock, milliseconds since 1970: shown, and decides nothing.

    `height` is one more than that of the highest parent, 1 without parents. `evidence` names what led to it: CIDs, or
    ids of messages and jobs.
    """

    playbook: str
    parents: tuple[Cid, ...]
    height: int
    author: Did
    ts: int
    critique: str
    evidence: tuple[Cid | str, ...]
    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class SignedRevision:
    """A revision with its two blocks. `cid` names the envelope: this is what heads and parents name."""

    cid: Cid
    payload_cid: Cid
    revision: Revision
    envelope_block: bytes
    payload_block: bytes


def sign_revision(revision: Revision, keys: KeyPair) -> SignedRevision:
    """Make both blocks. The parents are put into their canonical order.

    Raises LocalProtocolError if the author is not `keys`, or if other nodes would refuse the revision.
    """
    if revision.author != did_key(keys.public):
        raise LocalProtocolError("a revision is signed by its author only")
    ordered = replace(revision, parents=tuple(sorted(set(revision.parents))))
    payload_block = dag_cbor.encode(_to_payload(ordered))
    payload_cid = Cid.of(CODEC_DAG_CBOR, payload_block)
    envelope_block = dag_jose.seal(payload_cid, keys)
    try:
        return verify_revision(envelope_block, payload_block)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not fit to be signed: {error}") from error


def link_of(envelope_block: bytes) -> Cid:
    """The CID of the payload that an envelope signs, to fetch it; not verified yet. Raises RemoteProtocolError."""
    return dag_jose.read(envelope_block).payload


def verify_revision(envelope_block: bytes, payload_block: bytes) -> SignedRevision:
    """Check size, CID, signature and schema of a revision, in this order, and that its author signed it.

    Raises RemoteProtocolError: TooLarge, TooDeep, ForgedSignature, SenderMismatch or MalformedMessage.
    What needs the parents is checked by `check_height`.
    """
    envelope, value = dag_jose.opened(
        envelope_block, payload_block, max_bytes=limits.MAX_REVISION_BYTES, max_depth=limits.MAX_REVISION_DEPTH
    )
    revision = _from_payload(value)
    if revision.author != envelope.signer:
        raise SenderMismatch("the revision's author is not who signed it")
    return SignedRevision(
        cid=Cid.of(CODEC_DAG_JOSE, envelope_block),
        payload_cid=envelope.payload,
        revision=revision,
        envelope_block=envelope_block,
        payload_block=payload_block,
    )


def next_height(parents: Iterable[Revision]) -> int:
    """The height of a revision with these parents: 1 without any."""
    return 1 + max((parent.height for parent in parents), default=0)


def check_height(revision: Revision, parents: Sequence[Revision]) -> None:
    """Check a revision against all of its parents: height and playbook. Raises MalformedMessage.

    The caller has fetched and verified exactly the revisions that `revision.parents` names.
    """
    assert len(parents) == len(revision.parents)
    if any(parent.playbook != revision.playbook for parent in parents):
        raise MalformedMessage("a parent belongs to another playbook")
    if revision.height != next_height(parents):
        raise MalformedMessage("the height is not one more than that of the highest parent")


def parse_name(value: object) -> str:
    """A playbook's name: 1 to 64 lower-case letters, digits and hyphens. Raises MalformedMessage."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise MalformedMessage("a playbook's name has 1 to 64 lower-case letters, digits and hyphens")
    return value


def _to_payload(revision: Revision) -> dict[str, object]:
    return {
        "v": VERSION,
        "playbook": revision.playbook,
        "parents": [bytes(parent) for parent in revision.parents],
        "height": revision.height,
        "author": revision.author,
        "ts": revision.ts,
        "critique": revision.critique,
        "evidence": [bytes(item) if isinstance(item, Cid) else item for item in revision.evidence],
        "ops": [write_op(op) for op in revision.ops],
    }


def _from_payload(value: object) -> Revision:
    body = members(value, "revision", _KEYS)
    height = fields.integer(body["height"], "height", 1)
    author = Did(fields.line(body["author"], "author", limits.MAX_KID_CHARS))
    parents = links(body["parents"], "parents", CODEC_DAG_JOSE, limits.MAX_PARENTS)
    if bool(parents) != (height > 1):
        raise MalformedMessage("a revision has height 1 if, and only if, it has no parents")
    evidence = fields.sequence(body["evidence"], "evidence", limits.MAX_EVIDENCE)
    ops = fields.sequence(body["ops"], "ops", limits.MAX_OPS)
    return Revision(
        playbook=parse_name(body["playbook"]),
        parents=parents,
        height=height,
        author=author,
        ts=fields.integer(body["ts"], "ts", 0),
        critique=fields.text(body["critique"], "critique", limits.MAX_TEXT_BYTES),
        evidence=tuple(_evidence(item) for item in evidence),
        ops=tuple(read_op(item, author=author, height=height, index=index) for index, item in enumerate(ops)),
    )


def _evidence(value: object) -> Cid | str:
    if isinstance(value, bytes):
        return link(value, "evidence")
    return fields.line(value, "evidence", limits.MAX_EVIDENCE_CHARS)
