"""One walk down a playbook's history, from heads to what is known here: what was fetched, and what is still missing.

Pure: it knows no peers and no disk. Every bound on how much one announcement can make us fetch is held here, so that a
liar costs us one bounded walk.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did
from protocols import limits
from protocols.errors import MalformedMessage, RemoteProtocolError, TooLarge
from protocols.fields import MAX_SAFE_INTEGER
from protocols.playbook.revision import SignedRevision

KEPT: Final = 12_000
"""Revisions that stay in memory until they are judged, some 4 KB each. Of a longer history the others, which were
fetched first and are judged last, are read back from the disk."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a walk remembers of a fetched revision."""

    height: int
    parents: tuple[Cid, ...]


class Walk:
    """Begins at `heads`; `missing` holds what is to be fetched, or found here, next."""

    def __init__(self, heads: Sequence[Cid], *, playbook: str) -> None:
        self.playbook: Final = playbook
        self.sizes: Counter[Did] = Counter()
        """Bytes that were fetched of each author."""
        self._steps: dict[Cid, Step] = {}
        self._known: dict[Cid, int] = {}
        self._missing: dict[Cid, int] = dict.fromkeys(heads, MAX_SAFE_INTEGER)  # each must lie below this height
        self._kept: OrderedDict[Cid, SignedRevision] = OrderedDict()

    def __len__(self) -> int:
        """How many revisions were fetched."""
        return len(self._steps)

    @property
    def missing(self) -> Mapping[Cid, int]:
        """What is neither fetched nor known here, each with a height that it must lie below."""
        return self._missing

    def wanted(self, count: int) -> list[Cid]:
        """At most `count` of the missing ones, the highest first."""
        return heapq.nsmallest(count, self._missing, key=lambda cid: (-self._missing[cid], cid))

    def has(self, cid: Cid) -> bool:
        """Whether a revision was fetched, or is known here."""
        return cid in self._steps or cid in self._known

    def settle(self, known: Mapping[Cid, int]) -> None:
        """These, with their heights, were judged here before: the walk ends at them. Raises MalformedMessage."""
        for cid, height in known.items():
            if cid in self._missing:
                self._check_below(cid, height)
                self._known[cid] = height

    def take(self, signed: SignedRevision) -> None:
        """A verified revision that is missing. Raises RemoteProtocolError: the whole history is refused."""
        cid, revision = signed.cid, signed.revision
        if revision.playbook != self.playbook:
            raise RemoteProtocolError(f"{cid} belongs to another playbook")
        self._check_below(cid, revision.height)
        self._steps[cid] = Step(revision.height, revision.parents)
        self._kept[cid] = signed
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        for parent in revision.parents:
            if parent in self._missing:
                self._missing[parent] = min(self._missing[parent], revision.height)
            elif not self.has(parent):
                self._missing[parent] = revision.height
        self.sizes[revision.author] += len(signed.envelope_block) + len(signed.payload_block)
        if len(self._steps) + len(self._missing) > limits.MAX_HISTORY_REVISIONS:
            raise TooLarge("the history is longer than one walk may be")
        if self.sizes.total() > limits.MAX_HISTORY_BYTES:
            raise TooLarge("the history is larger than one walk may be")

    def in_order(self) -> list[Cid]:
        """Everything that was fetched, parents first; nothing is missing any more. Raises MalformedMessage."""
        assert not self._missing
        for cid, step in self._steps.items():
            if step.height != 1 + max((self._height_of(parent) for parent in step.parents), default=0):
                raise MalformedMessage(f"the height of {cid} is not one more than that of its highest parent")
        return sorted(self._steps, key=lambda cid: (self._steps[cid].height, cid))

    def kept(self, cid: Cid) -> SignedRevision | None:
        """A fetched revision, if it is still in memory."""
        return self._kept.get(cid)

    def _height_of(self, cid: Cid) -> int:
        step = self._steps.get(cid)
        return step.height if step is not None else self._known[cid]

    def _check_below(self, cid: Cid, height: int) -> None:
        below = self._missing.pop(cid)
        if height >= below:
            raise MalformedMessage(f"{cid} is as high as a revision that stands on it")
