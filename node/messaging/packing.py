"""From a message on disk to the bytes for one route: who writes it, in which envelope, wrapped for which mediators.

A message was composed when it was queued. What has changed since is put right here: our DID (a retired one writes no
more: the present one does, and proves that it may), and the recipient's.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from identity.did import Did, DidDocument
from identity.resolver import Resolver
from node.dids.own import OwnDids
from node.messaging.routes import Route
from protocols.conversations.empty import is_acknowledgement
from protocols.conversations.routing import wrap
from protocols.didcomm.envelope import pack_private
from protocols.message import Message
from storage.outbox import OutboxForm

FromPriorFor = Callable[[Did], str | None]
"""The proof that we were called otherwise, for a recipient that knows us by that name; None if it needs none."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is on its way to one recipient.

    `with_carrier`: a mediator got it lately, and may bring it yet. `overtakes`: a mediator has an older one of its
    thread, which a shorter way would let it overtake.
    """

    message: Message
    form: OutboxForm = "authcrypt"
    with_carrier: bool = False
    overtakes: bool = False


class Packer:
    """Packs letters. What has to be fetched for it is fetched by `prepare`, so that packing itself never waits."""

    def __init__(
        self, *, own: OwnDids, resolver: Resolver, from_prior_for: FromPriorFor = lambda recipient: None
    ) -> None:
        self._own = own
        self._resolver = resolver
        self._from_prior_for = from_prior_for

    async def prepare(self, route: Route) -> None:
        """Fetch the documents of the mediators on the way. Raises PagiError."""
        for hop in route.via:
            await self._resolver.resolve(hop.did)

    def pack(self, letter: Outgoing, recipient: DidDocument, *, ask_for_ack: bool) -> bytes:
        """The message, encrypted for the recipient. Raises ProtocolError."""
        message = letter.message
        author = self._own.author(message.from_)
        ask_for_ack = ask_for_ack and not is_acknowledgement(message)
        message = replace(
            message,
            from_=None if message.from_ is None else author.did,
            to=(recipient.did,),
            from_prior=message.from_prior or self._from_prior_for(recipient.did),
            please_ack=("",) if ask_for_ack and not message.please_ack else message.please_ack,
        )
        return pack_private(message, author=author, recipient=recipient, entropy=os.urandom, form=letter.form)

    def wrap(self, packed: bytes, route: Route, recipient: Did, expires_time: int | None) -> bytes:
        """What is packed for the recipient, for the first mediator on the way. Raises PagiError."""
        if route.direct:
            return packed
        return wrap(
            packed,
            next_did=recipient,
            routing=[hop.key for hop in route.via],
            entropy=os.urandom,
            resolve=self._resolver.cached,
            expires_time=expires_time,
        )
