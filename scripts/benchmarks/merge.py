"""Merging playbook revisions: verification and join at a history of 10,000 revisions by 20 authors.

One thread, blocks in memory, each revision as a twin writes it: a bullet, a count of an earlier one, and a metric. The
rates are of the last thousand revisions. There is no peer that does the same.
"""

import time
from collections.abc import Sequence

from benchmarks.table import Row
from identity.did import did_key
from identity.keys import KeyPair
from protocols.playbook.merge import EMPTY, Playbook, join
from protocols.playbook.revision import Add, Revision, SignedRevision, new_ops, sign_revision, verify_revision

HISTORY = 10_000
MEASURED = 1_000
ROUNDS = 3
AUTHORS = tuple(KeyPair(bytes([number]) * 32) for number in range(20))
AIM = "≥ 1,000/s"


def run() -> list[Row]:
    """The rates, of the best round each."""
    history = make_history(HISTORY)
    before = join(EMPTY("common"), history[:-MEASURED])
    blocks = [(signed.envelope_block, signed.payload_block) for signed in history[-MEASURED:]]
    whole = max(_rate(before, blocks, verified=False, hashed=False) for _ in range(ROUNDS))
    hashed = max(_rate(before, blocks, verified=False, hashed=True) for _ in range(ROUNDS))
    applied = max(_rate(before, blocks, verified=True, hashed=False) for _ in range(ROUNDS))
    return [
        Row("merge: verify and apply", whole, None, "revisions/s", "", "higher", AIM),
        Row("merge: verify, apply, state hash after each", hashed, None, "revisions/s", "", "higher", AIM),
        Row("merge: apply what is verified", applied, None, "revisions/s", "", "higher", ""),
    ]


def make_history(count: int) -> list[SignedRevision]:
    """A chain of revisions by 20 authors in turn, each with three operations."""
    made: list[SignedRevision] = []
    for number in range(count):
        keys, height = AUTHORS[number % len(AUTHORS)], number + 1
        author = did_key(keys.public)
        text = f"Rule {number}: name the twin and the memory that an answer came from."
        items: list[dict[str, object]] = [{"op": "add", "section": "collaboration", "text": text, "tags": ["sources"]}]
        items.append({"op": "metric", "name": "success_rate", "sum": 0.95})
        if made and isinstance(earlier := made[number // 2].revision.ops[0], Add):
            items.append({"op": "helpful", "id": earlier.id})
        ops = new_ops(items, author=author, height=height)
        parents = (made[-1].cid,) if made else ()
        revision = Revision("common", parents, height, author, number, "It helped in a job.", (f"job-{number}",), ops)
        made.append(sign_revision(revision, keys))
    return made


def _rate(before: Playbook, blocks: Sequence[tuple[bytes, bytes]], *, verified: bool, hashed: bool) -> float:
    """Revisions a second, from their blocks or from what was verified beforehand."""
    ready = [verify_revision(*pair) for pair in blocks] if verified else []
    start, playbook = before.state_hash, before
    began = time.perf_counter()
    for number, pair in enumerate(blocks):
        playbook = join(playbook, [ready[number] if verified else verify_revision(*pair)])
        if hashed:
            assert playbook.state_hash != start
    return len(blocks) / (time.perf_counter() - began)
