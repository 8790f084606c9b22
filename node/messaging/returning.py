"""Which messages open a way back over their connection (DIDComm v2.1, "Return Route").

A packed message can be recorded and played to us by somebody else. It says whom it is from, not whose connection it
comes by: so only a message that was made just now, after our own start, and that was never seen before opens a way for
what is written to its sender. A stranger gets no more over it than the answer to this very message.
"""

from collections import OrderedDict

from identity.did import Did
from node.clock import NowMs
from node.messaging.live import LiveRoutes
from node.messaging.source import LiveRoute, Source
from protocols import limits
from protocols.message import Message


class ReturnRoutes:
    """Remembers which messages have opened a way."""

    def __init__(self, live: LiveRoutes, now: NowMs) -> None:
        self._live = live
        self._now = now
        self._began_s = now() // 1000
        self._seen: OrderedDict[tuple[Did, str], None] = OrderedDict()

    def open(self, source: Source, sender: Did, message: Message, *, known: bool) -> LiveRoute | None:
        """The way back for answers to this message; None if it opens none.

        For a known sender it is also a way for whatever else is written to it, if the message says so.
        """
        if source.back is None or message.return_route not in ("all", "thread") or not self._is_fresh(message):
            return None
        if known:
            if self._was_seen(sender, message):
                return None
            self._live.open(sender, source.back, thread=None if message.return_route == "all" else message.thread)
        source.back.keep()
        return source.back

    def _is_fresh(self, message: Message) -> bool:
        oldest_s = max(self._began_s, self._now() // 1000 - limits.MAX_RETURN_ROUTE_AGE_S)
        return message.created_time is not None and message.created_time >= oldest_s

    def _was_seen(self, sender: Did, message: Message) -> bool:
        if (sender, message.id) in self._seen:
            return True
        self._seen[sender, message.id] = None
        if len(self._seen) > limits.MAX_SEEN_RETURN_ROUTES:
            self._seen.popitem(last=False)
        return False
