"""Who is behind a did:peer, and where a twin can be reached.

A twin hands out a did:peer:2 so that others can resolve it without asking anybody. Its keys are an Ed25519 key and the
X25519 key that follows from it (did:key v0.9), so the same twin is the `did:key` of the first one, under which it is
known everywhere else. Taking the one for the other is safe: we encrypt to the did:key's own X25519 key, so whoever
invents such a DID of somebody else's key gains nothing that only the key's holder could read. A did:peer:2 with any
other keys is an agent of its own, and stays what it is.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from identity.did import DIDCOMM_SERVICE, Did, DidDocument, Endpoint, Service, did_key
from identity.keys import agreement_key_of
from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.messaging.routes import endpoints_in, endpoints_to_text
from node.net.port import Network
from node.reach import rank_of_address
from node.trust import TrustList
from protocols.introduction import introduced, introduction
from protocols.message import Attachment, Message
from protocols.swarm import Mediator
from storage import contacts, mailbox
from storage.database import Database

logger = logging.getLogger(__name__)

MAX_ADDRESSES: Final = 3
"""Addresses of libp2p in an invitation: it must fit into a QR code that a telephone reads."""

MAX_MEDIATORS: Final = 2
"""Mediators in an invitation, for the same reason."""

_ACCEPT: Final = ("didcomm/v2",)


def twin_of(document: DidDocument) -> Did:
    """The did:key of the twin behind a did:peer:2; of any other document its own DID."""
    if not document.did.startswith("did:peer:2") or len(document.authentication) != 1:
        return document.did
    (signing,), agreement = document.authentication, document.key_agreement
    if signing.curve != "Ed25519" or [(key.curve, key.public) for key in agreement] != [
        ("X25519", agreement_key_of(signing.public))
    ]:
        return document.did
    return did_key(signing.public)


def services_of(
    *, public_url: str | None, addresses: Sequence[str], mediators: Sequence[Mediator]
) -> tuple[Service, ...]:
    """Where we can be written to, as a document says it: the public listener, libp2p, mediators; the best first.

    With a public listener the document is for the whole world, and the addresses of our own network are left out.
    """
    farthest = 3 if public_url is None else 1
    endpoints = [Endpoint(f"{public_url.rstrip('/')}/didcomm", _ACCEPT)] if public_url else []
    ranked = [(rank, address) for address in addresses if (rank := rank_of_address(address)) is not None]
    reachable = [(rank, address) for rank, address in ranked if rank <= farthest]
    endpoints += (Endpoint(address) for _, address in sorted(reachable, key=lambda entry: entry[0])[:MAX_ADDRESSES])
    endpoints += (Endpoint(keeper.uris[0], _ACCEPT, (keeper.did,)) for keeper in mediators[:MAX_MEDIATORS])
    return (Service("#didcomm", DIDCOMM_SERVICE, tuple(endpoints)),) if endpoints else ()


async def _nothing_to_do() -> None:
    """There is no mediator."""


class Introductions:
    """Says where we are, and keeps where others say that they are.

    `public_url` is set once there is a public listener; `mediators` gives those that keep our mail, `register_names`
    lets them know a name of ours before anybody else does.
    """

    def __init__(
        self,
        *,
        own: OwnDids,
        resolver: Resolver,
        database: Database,
        network: Network,
        trust: TrustList,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._resolver = resolver
        self._database = database
        self._network = network
        self._trust = trust
        self._now = now
        self.public_url: str | None = None
        self.mediators: Callable[[], Sequence[Mediator]] = tuple
        self.register_names: Callable[[], Awaitable[None]] = _nothing_to_do

    def refresh(self) -> None:
        """Let our documents say where we can be reached now."""
        self._own.set_services(
            services_of(public_url=self.public_url, addresses=self._network.addresses(), mediators=self.mediators())
        )

    async def own_did(self) -> Did:
        """A did:peer:2 of ours with what holds now; our did:key where there is no way to us to tell of."""
        self.refresh()
        if not self._own.services:
            return self._own.did
        did = await self._own.peer_did()
        await self.register_names()
        return did

    async def name_for(self, to: Did) -> Did:
        """The name of ours to begin to write to somebody in.

        Twins know our did:key. Another agent looks in the name itself for where to answer: it gets one that it has
        used, else our did:web, else a did:peer with what holds now.
        """
        if to.startswith("did:key:"):
            return self._own.did
        used = await self._database.read(lambda conn: mailbox.written_to(conn, to, self._own.current))
        return used or self._own.web or await self.own_did()

    async def ours(self) -> tuple[Attachment, ...]:
        """For the other side to keep: nothing if there is no way to us to tell of."""
        did = await self.own_did()
        return () if did == self._own.did else (introduction(did),)

    async def learn(self, sender: Did, message: Message) -> None:
        """Keep what a named twin introduces itself with. Raises MalformedMessage; what is not its own is not kept."""
        did = introduced(message)
        if did is None or sender not in self._trust.named or not did.startswith("did:peer:2"):
            return
        document = self._resolver.cached(did)
        if twin_of(document) != sender:
            logger.debug("an introduction by %s is not of its own keys", sender)
            return
        await self.keep(sender, document, name=None, source="introduction")

    async def keep(self, did: Did, document: DidDocument, *, name: str | None, source: str) -> None:
        """Keep a contact: where it can be reached, and what the owner calls it."""
        services, now = endpoints_to_text(endpoints_in(document)), self._now()
        await self._database.write(
            lambda conn: contacts.put_contact(conn, did, services=services, name=name, source=source, updated_ms=now)
        )
