"""Made-up histories for the tests of the hive: revisions that are signed by throw-away keys."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from identity.did import did_key
from identity.keys import KeyPair
from protocols.playbook.revision import Revision, SignedRevision, new_ops, next_height, sign_revision
from storage.blocks import BlockStore
from tests.node.parts import START_MS, new_keys

_texts = itertools.count()


def revision(keys: KeyPair | None = None, *, parents: Sequence[SignedRevision] = (), **changes: Any) -> SignedRevision:
    """A revision that adds one bullet; `changes` may make it a lie."""
    keys = keys or new_keys()
    author = did_key(keys.public)
    height = next_height(parent.revision for parent in parents)
    bullet = {"op": "add", "section": "manners", "text": f"Thank whoever answered, {next(_texts)}.", "tags": []}
    made = Revision(
        playbook="common",
        parents=tuple(parent.cid for parent in parents),
        height=height,
        author=author,
        ts=START_MS,
        critique="because",
        evidence=(),
        ops=new_ops([bullet], author=author, height=changes.get("height", height)),
    )
    return sign_revision(dataclasses.replace(made, **changes), keys)


def chain(length: int, keys: KeyPair | None = None, *, on: Sequence[SignedRevision] = ()) -> list[SignedRevision]:
    """Revisions that each stand on the one before, the lowest first."""
    keys = keys or new_keys()
    made: list[SignedRevision] = []
    for _ in range(length):
        made.append(revision(keys, parents=made[-1:] or on))
    return made


def keep(blocks: BlockStore, revisions: Iterable[SignedRevision]) -> None:
    """Put the blocks on a disk, as if they had been judged there."""
    blocks.put_many(
        pair for one in revisions for pair in ((one.payload_cid, one.payload_block), (one.cid, one.envelope_block))
    )
