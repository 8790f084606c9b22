"""Invitations: a link by which two owners name each other, without either having to read a DID aloud.

Whoever makes one says beforehand that the first who answers it is named, so its id is a secret: 128 bits of chance, for
one use and a week unless the owner says otherwise. The answer is a durable message, so it may be made while the other
side is away; an answer that comes too late is a stranger's message like any other.
"""

import secrets
import sqlite3
from dataclasses import dataclass, replace
from typing import Final

from identity.did import Did
from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.errors import InvitationOver, InvitationUnknown, InvitationUnreadable, OwnInvitation
from node.events import EventBus
from node.messaging.introductions import Introductions, twin_of
from node.messaging.post_office import PostOffice
from node.trust import TrustList
from protocols.conversations import out_of_band, trust_ping
from protocols.errors import RemoteProtocolError
from protocols.message import Message
from storage import contacts, invitations, twins
from storage.database import Database
from storage.invitations import InvitationRow
from storage.page import Page
from storage.trust import Trust

EXPIRES_S: Final = 7 * 24 * 3600
"""How long an invitation is open unless its maker says otherwise."""

_ID_BYTES: Final = 16
_PROFILES: Final = ("didcomm/v2",)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Whom we are in touch with now: named here, and told so by the message `message_id`."""

    did: Did
    name: str | None
    message_id: str


class Invitations:
    """The owner's invitations, and those that the owner accepts."""

    def __init__(
        self,
        *,
        own: OwnDids,
        resolver: Resolver,
        database: Database,
        events: EventBus,
        trust: TrustList,
        mail: PostOffice,
        introductions: Introductions,
        now: NowMs = now_ms,
    ) -> None:
        self._own = own
        self._resolver = resolver
        self._database = database
        self._events = events
        self._trust = trust
        self._mail = mail
        self._introductions = introductions
        self._now = now

    async def create(
        self,
        *,
        goal: str | None = None,
        goal_code: str | None = None,
        name: str | None = None,
        uses: int = 1,
        expires_s: int = EXPIRES_S,
    ) -> InvitationRow:
        """Invite. `name` is what the owner calls whoever comes; `uses` is how many may."""
        now, invitation_id, did = self._now(), secrets.token_urlsafe(_ID_BYTES), await self._introductions.own_did()
        message = Message(
            id=invitation_id,
            type=out_of_band.INVITATION,
            body=out_of_band.Invitation(goal_code or "", goal or "", _PROFILES).to_body(),
            from_=did,
            created_time=now // 1000,
            expires_time=now // 1000 + expires_s,
        )
        url = out_of_band.to_url(message, self._base())

        def put(conn: sqlite3.Connection) -> InvitationRow | None:
            invitations.put_invitation(
                conn,
                id=invitation_id,
                did=did,
                url=url,
                goal=goal,
                goal_code=goal_code,
                name=name,
                uses=uses,
                created_ms=now,
                expires_ms=(now // 1000 + expires_s) * 1000,
            )
            return invitations.get_invitation(conn, invitation_id)

        row = await self._database.write(put)
        assert row is not None
        return row

    async def list(self, limit: int, after: str | None = None) -> Page[InvitationRow]:
        """What was handed out, newest first."""
        return await self._database.read(lambda conn: invitations.list_invitations(conn, limit=limit, after=after))

    async def remove(self, invitation_id: str) -> None:
        """Take an invitation back. Raises InvitationUnknown."""
        if not await self._database.write(lambda conn: invitations.remove_invitation(conn, invitation_id)):
            raise InvitationUnknown("no invitation has this id")

    async def use(self, sender: Did, invitation_id: str) -> bool:
        """`sender` answers one of ours: name it, if that is open. A second answer of the same one changes nothing.

        Raises InvitationOver for a stranger whose invitation is used up or past its end, so that it hears of that.
        """
        now = self._now()
        row = await self._database.read(lambda conn: invitations.get_invitation(conn, invitation_id))
        if row is None or self._own.is_ours(sender):
            return False
        event = self._events.make("invitation_used", sender, {"did": sender, "goal": row.goal}, source="didcomm")
        used = False

        def name(conn: sqlite3.Connection, trust: Trust) -> Trust:
            nonlocal used
            used = invitations.use_invitation(conn, invitation_id, sender, now)
            if not used:
                return trust
            if row.name is not None:
                known = contacts.get_contact(conn, sender)
                services = known.services if known is not None else "[]"
                contacts.put_contact(
                    conn, sender, services=services, name=row.name, source="invitation", updated_ms=now
                )
            self._events.record(conn, event)
            return replace(trust, allow=trust.allow | {sender})

        if row.is_open(now):
            await self._trust.change(name)
        if used:
            self._events.announce(event)
        elif not self._trust.allows(sender):
            raise InvitationOver("the invitation is used up or past its end")
        return used

    async def accept(self, url: str) -> Accepted:
        """Accept somebody's invitation: name whoever made it, and tell them.

        Raises InvitationUnreadable, InvitationOver, OwnInvitation, and IdentityError if its maker is not found.
        """
        try:
            message = out_of_band.from_url(url)
        except RemoteProtocolError as error:
            raise InvitationUnreadable(f"this is no invitation: {error}") from error
        assert message.from_ is not None, "read_invitation refuses one that does not say who invites"
        if message.expires_time is not None and message.expires_time <= self._now() // 1000:
            raise InvitationOver("the invitation is past its end")
        if self._own.is_ours(message.from_):
            raise OwnInvitation("this is an invitation of your own")
        document = await self._resolver.resolve(message.from_)
        did = twin_of(document)
        if self._own.is_ours(did):
            raise OwnInvitation("this is an invitation of your own")
        if did != document.did:
            await self._introductions.keep(did, document, name=None, source="invitation")
        await self._trust.change(lambda _, trust: replace(trust, allow=trust.allow | {did}, block=trust.block - {did}))
        sent = await self._mail.send(
            did,
            trust_ping.PING,
            trust_ping.Ping().to_body(),
            pthid=message.id,
            attachments=await self._introductions.ours(),
        )
        return Accepted(did, await self._name_of(did), sent.id)

    async def _name_of(self, did: Did) -> str | None:
        twin, contact = await self._database.read(
            lambda conn: (twins.get_twin(conn, did), contacts.get_contact(conn, did))
        )
        return contact.name if contact is not None and contact.name else twin.name if twin is not None else None

    def _base(self) -> str:
        """Where the link leads a person who opens it in a browser."""
        public_url = self._introductions.public_url
        return f"{public_url.rstrip('/')}/invitation" if public_url is not None else "didcomm://invitation"
