"""Agents that said `return_route` over a connection that is still open (DIDComm v2.1, "Return Route").

They may have no address at all, so this is the first way to try for whatever is written to them. In memory only: a
connection does not outlive the process.
"""

from collections import OrderedDict
from dataclasses import dataclass

from identity.did import Did
from node.messaging.source import LiveRoute
from protocols import limits


@dataclass(frozen=True, slots=True)
class _Open:
    route: LiveRoute
    thread: str | None
    """The one thread whose messages it takes; None for all."""


class LiveRoutes:
    """The open ways to agents, newest first for each."""

    def __init__(self) -> None:
        self._routes: OrderedDict[Did, list[_Open]] = OrderedDict()

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
