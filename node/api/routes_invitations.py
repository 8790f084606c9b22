"""Invitations: links by which two owners name each other."""

from typing import Annotated

from pydantic import Field

from node.api.router import Routes
from node.api.wire import Integral, OneLine, PageQuery, Wire, page
from node.clock import now_ms, rfc3339
from node.messaging.invitations import EXPIRES_S
from node.twin import Twin
from protocols import limits
from storage.invitations import InvitationRow

routes = Routes("didcomm")

Line = Annotated[str, Field(min_length=1, max_length=limits.MAX_GOAL_CHARS), OneLine]


class Invite(Wire):
    """`uses` is how many may come by it, `expires_s` how long it is open, `name` what whoever comes is called here."""

    goal: Line | None = None
    goal_code: Line | None = None
    name: Annotated[str, Field(min_length=1, max_length=limits.MAX_TWIN_NAME_CHARS), OneLine] | None = None
    uses: Annotated[int, Field(ge=1, le=1000), Integral] = 1
    expires_s: Annotated[int, Field(ge=60, le=31_536_000), Integral] = EXPIRES_S


class InvitationOut(Wire):
    """Whoever has `url` is named by answering it, so hand it to nobody else. `open` says whether it still admits."""

    id: str
    url: str
    did: str
    expires: str
    created: str
    goal: str | None
    goal_code: str | None
    name: str | None
    uses: int
    used: int
    open: bool


class Invitations(Wire):
    items: list[InvitationOut]
    next: str | None


class InvitationId(Wire):
    id: str


class Accept(Wire):
    """`wait_s` makes the answer wait, at most so long, until who invited has been told."""

    wait_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    url: Annotated[str, Field(min_length=1, max_length=limits.MAX_INVITATION_URL_CHARS)]


class AcceptedOut(Wire):
    """`did` is named here from now on; `status` is that of the message that tells it so. If that failed, the invitation
    was used up or withdrawn."""

    did: str
    name: str | None
    status: str


@routes.add("POST", "/v1/didcomm/invitation", "Make an invitation: who answers it is named by this twin.")
async def invite(twin: Twin, body: Invite) -> InvitationOut:
    return _invitation(
        await twin.messaging.invitations.create(
            goal=body.goal, goal_code=body.goal_code, name=body.name, uses=body.uses, expires_s=body.expires_s
        )
    )


@routes.add("GET", "/v1/didcomm/invitations", "Invitations of ours, newest first.")
async def list_invitations(twin: Twin, query: PageQuery) -> Invitations:
    return Invitations(**page(await twin.messaging.invitations.list(query.limit, query.after), _invitation))


@routes.add("DELETE", "/v1/didcomm/invitations/{id}", "Take an invitation back; whom it let in stays named.")
async def withdraw(twin: Twin, id: str) -> InvitationId:  # noqa: A002 - the name in the path
    await twin.messaging.invitations.remove(id)
    return InvitationId(id=id)


@routes.add("POST", "/v1/didcomm/accept", "Accept an invitation: name who made it, and tell it so.")
async def accept(twin: Twin, body: Accept) -> AcceptedOut:
    accepted = await twin.messaging.invitations.accept(body.url)
    status = await twin.mail.wait_delivered(accepted.message_id, body.wait_s)
    return AcceptedOut(did=accepted.did, name=accepted.name, status=status)


def _invitation(row: InvitationRow) -> InvitationOut:
    return InvitationOut(
        id=row.id,
        url=row.url,
        did=row.did,
        expires=rfc3339(row.expires_ms),
        created=rfc3339(row.created_ms),
        goal=row.goal,
        goal_code=row.goal_code,
        name=row.name,
        uses=row.uses,
        used=row.used,
        open=row.is_open(now_ms()),
    )
