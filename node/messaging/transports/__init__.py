"""Carriers: what brings packed messages along one kind of route."""

from collections.abc import Mapping

from node.http.outside import Outside
from node.messaging.live import LiveRoutes
from node.messaging.routes import Transport
from node.messaging.transports.back import BackCarrier
from node.messaging.transports.carrier import Carrier, OnReply, contained
from node.messaging.transports.http import HttpCarrier
from node.messaging.transports.libp2p import Libp2pCarrier
from node.messaging.transports.websocket import WebSocketCarrier
from node.net.port import Network


def every_carrier(
    *, network: Network, live: LiveRoutes, outside: Outside, on_reply: OnReply
) -> Mapping[Transport, Carrier]:
    """One for each kind of route."""
    on_reply = contained(on_reply)
    return {
        "return": BackCarrier(live),
        "libp2p": Libp2pCarrier(network),
        "http": HttpCarrier(outside, on_reply),
        "websocket": WebSocketCarrier(outside, on_reply),
    }
