"""Agents that said `return_route` over a connection that is still open (DIDComm v2.1, "Return Route").

They may have no address at all, so this is the first way to try for whatever is written to them. In memory only: a
connection does not outlive the process.

A packed message can be recorded and played to us by somebody else. It says whom it is from, not whose connection it
comes by: so only a message that was made just now, after our own start, and that was never seen before opens a way for
what is written to its sender. A stranger gets no more over it than the answer to this very message.
"""

from collections import OrderedDict
from dataclasses import dataclass

from identity.did import Did
from node.clock import NowMs, now_ms
from node.messaging.source import LiveRoute, Source
from protocols import limits
from protocols.message import Message


@dataclass(frozen=True, slots=True)
class _Open:
    route: LiveRoute
    thread: str | None
    """The one thread whose messages it takes; None for all."""


class LiveRoutes:
    """The open ways to agents, newest first for each."""

    def __init__(self, now: NowMs = now_ms) -> None:
        self._now = now
        self._began_s = now() // 1000
        self._routes: OrderedDict[Did, list[_Open]] = OrderedDict()
        self._seen: OrderedDict[tuple[Did, str], None] = OrderedDict()

    def offered(self, source: Source, sender: Did, message: Message, *, known: bool) -> LiveRoute | None:
        """The way back for answers to this message; None if it opens none.

        For a known sender it is also a way for whatever else is written to it, if the message says so.
        """
        if source.back is None or message.return_route not in ("all", "thread") or not self._is_fresh(message):
            return None
        if known:
            if self._was_seen(sender, message):
                return None
            self.open(sender, source.back, thread=None if message.return_route == "all" else message.thread)
        source.back.keep()
        return source.back

    def open(self, did: Did, route: LiveRoute, *, thread: str | None = None) -> None:
        """`did` takes messages over `route`: those of one thread, or all. The one silent longest gives way."""
        others = [known for known in self._routes.pop(did, ()) if known.route is not route and not known.route.closed]
        self._routes[did] = [_Open(route, thread), *others][: limits.MAX_LIVE_ROUTES_PER_DID]
        while len(self._routes) > limits.MAX_LIVE_ROUTES:
            self._routes.popitem(last=False)

    def close(self, did: Did, route: LiveRoute) -> None:
        """`route` is of no use for `did` any more. Nothing happens if it is not known."""
        rest = [known for known in self._routes.get(did, ()) if known.route is not route]
        if rest:
            self._routes[did] = rest
        else:
            self._routes.pop(did, None)

    def of(self, did: Did, thread: str | None = None) -> LiveRoute | None:
        """The way that was opened last over which `did` takes messages of `thread`; None if there is none."""
        for known in tuple(self._routes.get(did, ())):
            if known.route.closed:
                self.close(did, known.route)
            elif known.thread is None or known.thread == thread:
                return known.route
        return None

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
