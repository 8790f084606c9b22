"""What comes in: where a packed message came from, what its carrier is answered, and the message once it is opened.

A source says nothing about who wrote the message: only its envelope does.
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from identity.did import Did, PeerId, did_of_peer_id
from identity.errors import PagiError
from protocols.message import Message

PROTOCOL: Final = "/pagi/didcomm/2.1"

ACCEPTED: Final = b"\x00"
"""The message is on disk here, now or since an earlier time; or it was one that is answered at once and not kept."""
REFUSED: Final = b"\x01"
"""It will never be taken: malformed, not for us, or its sender is blocked."""
TRY_LATER: Final = b"\x02"
"""Not now: too much at once, too many first messages from a stranger, too much that waits for work, or a full disk."""

Transport = Literal["libp2p", "http", "websocket", "mediator"]


class LiveRoute(Protocol):
    """A connection that the other side opened, over which something can still be sent to it."""

    @property
    def name(self) -> str:
        """What a person is shown of the way that a message took."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent over it any more."""

    def keep(self) -> None:
        """The sender takes replies over this connection: whoever serves it should hold it open for them."""

    async def send(self, packed: bytes) -> None:
        """Send one packed message. Raises NetError if the connection is gone."""


@dataclass(frozen=True, slots=True)
class Source:
    """One carrier of messages.

    `key` is what rates are counted by: a peer ID, an IP address, a mediator's DID. `peer` is whom the transport itself
    proves, None if it proves nobody: what a mediator hands over, or an HTTP client posts, can be from anybody.
    """

    transport: Transport
    key: str
    peer: Did | None = None
    back: LiveRoute | None = None


def from_peer(peer: PeerId) -> Source:
    """What a libp2p connection brings: its handshake proves the peer's key, and with it the DID of the same key."""
    try:
        return Source("libp2p", peer, did_of_peer_id(peer))
    except PagiError:
        return Source("libp2p", peer)  # Its key is not Ed25519, so it is no twin.


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message that was opened, with what its envelope and its carrier prove.

    `recipient` is the DID of ours that it was written to, `packed_bytes` its size on the way, `known` whether the owner
    named the sender or it carries our mail. `back` is the way back over its own connection, None unless the sender
    takes answers there.
    """

    source: Source
    sender: Did
    recipient: Did
    message: Message
    plaintext: bytes
    packed_bytes: int
    known: bool
    back: LiveRoute | None
