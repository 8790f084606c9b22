"""How much is taken from whom: messages by their source, disk and answers by their sender.

Before a message is opened only its carrier is known, so whoever posts by HTTP is counted by address, and a mediator,
which brings everybody's mail, by itself. A stranger's DID costs nothing: what strangers get is counted by source.
"""

from identity.did import Did
from node.clock import NowMs
from node.messaging.source import Incoming, Source
from protocols import limits
from protocols.ratelimit import KeyedBuckets


def _cost(packed_bytes: int) -> int:
    return 1 + packed_bytes // limits.MAX_STRANGER_MESSAGE_BYTES


def _buckets(rate_per_s: float, burst: float) -> KeyedBuckets:
    return KeyedBuckets(rate_per_s, burst, limits.MAX_RATED_KEYS)


class Rates:
    """Every rate of intake."""

    def __init__(self, now: NowMs) -> None:
        self._now = now
        self._named = _buckets(limits.DIDCOMM_RATE_PER_S, limits.DIDCOMM_BURST)
        self._strangers = _buckets(limits.DIDCOMM_STRANGER_RATE_PER_S, limits.DIDCOMM_STRANGER_BURST)
        self._mediators = _buckets(limits.MEDIATED_RATE_PER_S, limits.MEDIATED_BURST)
        self._addresses = _buckets(limits.HTTP_RATE_PER_S, limits.HTTP_BURST)
        self._disk = _buckets(limits.MAIL_BYTES_PER_S, limits.MAIL_BURST_BYTES)
        self._answers = _buckets(limits.NAMED_ANSWER_RATE_PER_S, limits.NAMED_ANSWER_BURST)
        self._answers_to_strangers = _buckets(limits.ANSWER_RATE_PER_S, limits.ANSWER_BURST)

    def allow_message(self, source: Source, packed_bytes: int, *, known: bool) -> bool:
        """Before a message is opened. What that costs grows with its length, whatever is in it."""
        return self._of(source, known=known).allow(source.key, self._now() / 1000, _cost(packed_bytes))

    def give_back(self, source: Source, packed_bytes: int) -> None:
        """A message that came over HTTP was new and of a named sender, so it does not count against its address: what
        it may bring is its share of the disk. A message that is sent again, by whomever, counts.
        """
        if source.transport in ("http", "websocket"):
            self._addresses.give_back(source.key, _cost(packed_bytes))

    def allow_stored(self, sender: Did, plaintext_bytes: int) -> bool:
        """Before a message of a named sender goes to the disk."""
        return self._disk.allow(sender, self._now() / 1000, plaintext_bytes + limits.MAIL_ROW_BYTES)

    def allow_answer(self, incoming: Incoming) -> bool:
        """Before a message is answered."""
        if incoming.known:
            return self._answers.allow(incoming.sender, self._now() / 1000)
        return self._answers_to_strangers.allow(incoming.source.key, self._now() / 1000)

    def _of(self, source: Source, *, known: bool) -> KeyedBuckets:
        if source.transport == "mediator":
            return self._mediators
        if source.transport != "libp2p":
            return self._addresses
        return self._named if known else self._strangers
