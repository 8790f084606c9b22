"""What each peer gave and took by bitswap: whom to ask first, and whom not to listen to.

Pure: the caller brings the time. At most `MAX_PEERS` are remembered; the one heard of longest ago is forgotten first.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from protocols import limits
from protocols.ratelimit import TokenBucket

P = TypeVar("P", bound=Hashable)

MAX_PEERS: Final = 1024
"""Peers that are remembered, some 500 bytes each: more than there are connections. A peer that is ignored and comes
back after a thousand others has come is a new one."""

UNKNOWN: Final = 0.5
GOOD: Final = 0.7
BAD: Final = 0.3

_LEARNED: Final = 0.15
"""How much one block changes what we think of a peer: after three it is good, after four that it does not have, bad."""


@dataclass(slots=True)
class Account:
    """One peer. `reliability` says how often it has what it is asked for, from 0 to 1, the last times above all."""

    sent_bytes: int = 0
    received_bytes: int = 0
    useful: int = 0
    unsolicited: int = 0
    refused: int = 0
    reliability: float = UNKNOWN
    ignored_until_s: float = 0.0
    faults: TokenBucket | None = None

    @property
    def standing(self) -> int:
        """0 for a peer that delivers, 1 for one that we do not know, 2 for one that rarely has what we want."""
        return 0 if self.reliability >= GOOD else 1 if self.reliability > BAD else 2


class Ledger(Generic[P]):
    """The accounts of all peers."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[P, Account] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def of(self, peer: P) -> Account:
        """The account of a peer; a new one if there is none."""
        account = self._accounts.get(peer)
        if account is None:
            if len(self._accounts) >= MAX_PEERS:
                self._accounts.popitem(last=False)
            account = self._accounts[peer] = Account()
        else:
            self._accounts.move_to_end(peer)
        return account

    def delivered(self, peer: P, size_bytes: int) -> None:
        """It gave a block that was wanted."""
        account = self.of(peer)
        account.useful += 1
        account.received_bytes += size_bytes
        account.reliability += (1 - account.reliability) * _LEARNED

    def failed(self, peer: P) -> None:
        """It does not have a block, or did not bring it in time."""
        account = self.of(peer)
        account.reliability -= account.reliability * _LEARNED

    def misbehaved(self, peer: P, now_s: float, *, blocks: int, size_bytes: int) -> bool:
        """It sent blocks that nobody asked it for. True if this was too much, and it is ignored from now on."""
        account = self.of(peer)
        account.unsolicited += blocks
        account.received_bytes += size_bytes
        account.reliability -= account.reliability * _LEARNED
        if account.faults is None:
            account.faults = TokenBucket(limits.UNASKED_BLOCKS_PER_S, limits.UNASKED_BLOCKS_BURST)
        if account.faults.allow(now_s, blocks) or self.ignores(peer, now_s):
            return False
        account.ignored_until_s = now_s + limits.BITSWAP_IGNORED_S
        return True

    def ignores(self, peer: P, now_s: float) -> bool:
        """Whether nothing is taken from this peer, given to it or asked of it for the time being."""
        account = self._accounts.get(peer)
        return account is not None and now_s < account.ignored_until_s
