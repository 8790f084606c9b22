"""Writing a revision of our own on top of a playbook. Pure but for the signature."""

from collections.abc import Mapping, Sequence

from identity.did import did_key
from identity.keys import KeyPair
from node.errors import RevisionRefused
from protocols.errors import ProtocolError
from protocols.playbook.merge import Playbook
from protocols.playbook.revision import (
    Harmful,
    Helpful,
    Op,
    Remove,
    Revision,
    SignedRevision,
    new_ops,
    sign_revision,
)


def write_revision(
    current: Playbook,
    *,
    critique: str,
    ops: Sequence[Mapping[str, object]],
    evidence: Sequence[str],
    keys: KeyPair,
    now_ms: int,
    tried: Playbook | None = None,
) -> SignedRevision:
    """A revision whose parents are the heads of `current`. `ops` are in the form of API.md.

    The bullets of `tried` are there as well: those that a share of the goals is given.

    Raises RevisionRefused if it removes or counts a bullet that is not there, or does not fit the limits.
    """
    author = did_key(keys.public)
    height = current.height + 1
    try:
        made = new_ops(ops, author=author, height=height)
        _check_targets(tried or current, made)
        revision = Revision(
            playbook=current.name,
            parents=current.next_parents,
            height=height,
            author=author,
            ts=now_ms,
            critique=critique,
            evidence=tuple(evidence),
            ops=made,
        )
        return sign_revision(revision, keys)
    except ProtocolError as error:
        raise RevisionRefused(str(error)) from error


def _check_targets(playbook: Playbook, ops: Sequence[Op]) -> None:
    for op in ops:
        if isinstance(op, Remove | Helpful | Harmful) and playbook.bullet(op.id) is None:
            raise RevisionRefused(f"the playbook {playbook.name!r} has no bullet {op.id}")
