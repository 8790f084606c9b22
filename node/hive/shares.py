"""How much of the disk the revisions of each author may take up.

A named twin is trusted with advice, not with the disk; and since it can make authors without end, all who are not named
have one share together. Our own revisions are not counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from identity.did import Did
from node.hive.shelf import Shelf
from node.trust import TrustList
from protocols import limits
from protocols.errors import TooLarge
from protocols.playbook.revision import SignedRevision


class Shares:
    """The bytes that are kept of each author, measured when they are needed first."""

    def __init__(self, shelf: Shelf, own: Did, trust: TrustList) -> None:
        self._shelf = shelf
        self._own = own
        self._trust = trust
        self._sizes: Counter[Did] | None = None

    async def check(self, revisions: Sequence[SignedRevision]) -> None:
        """Raise TooLarge if, with these, an author would take up more room than one may."""
        sizes: Counter[Did] = Counter()
        for signed in revisions:
            sizes[signed.revision.author] += size_of(signed)
        await self.check_sizes(sizes)

    async def check_sizes(self, added: Mapping[Did, int]) -> None:
        """The same for so many bytes of each author."""
        if self._sizes is None:
            measured = await self._shelf.sizes()
            self._sizes = self._sizes or measured  # somebody else may have been quicker, and have added to it since
        sizes, named = self._sizes, self._trust.named
        shares: Counter[Did | None] = Counter()
        for author, size_bytes in added.items():
            if author != self._own:
                shares[author if author in named else None] += size_bytes
        for share, size_bytes in shares.items():
            if share is not None:
                held = sizes[share]
            else:
                held = sum(size for author, size in sizes.items() if author not in named and author != self._own)
            if held + size_bytes > limits.MAX_HISTORY_BYTES_PER_AUTHOR:
                raise TooLarge(f"revisions of {share or 'authors who are not named'} take up all their room")

    def add(self, revisions: Sequence[SignedRevision]) -> None:
        """These are kept from now on."""
        if self._sizes is not None:
            for signed in revisions:
                self._sizes[signed.revision.author] += size_of(signed)


def size_of(signed: SignedRevision) -> int:
    """The bytes that a revision takes up."""
    return len(signed.envelope_block) + len(signed.payload_block)
