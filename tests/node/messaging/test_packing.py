import asyncio
from pathlib import Path

import pytest

from identity.did import Did, did_key, resolve_did_key
from identity.errors import NotResolvedYet
from identity.resolver import Resolver
from node.dids.own import OwnDids
from node.messaging.packing import Outgoing, Packer
from node.messaging.routes import Hop, Route
from protocols.conversations.routing import read_forward
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import unpack
from protocols.didcomm.from_prior import make_from_prior, read_from_prior
from protocols.errors import LocalProtocolError
from protocols.message import Message
from tests.node.messaging.test_delivery import HELLO, open_pair
from tests.node.parts import new_keys, soon

OLD, NEW, ANNA, RELAY = new_keys(), new_keys(), new_keys(), new_keys()
OWN = OwnDids(NEW, retired=[OLD])
ANNAS = resolve_did_key(did_key(ANNA.public))
RELAYS = did_key(RELAY.public)


def packer(own: OwnDids = OWN) -> Packer:
    return Packer(
        own=own,
        resolver=Resolver(fetch=None, now_s=lambda: 0),
        from_prior_for=lambda to: (
            make_from_prior(old=author_of(OLD), new_did=OWN.did, iat=1) if to == ANNAS.did else None
        ),
    )


def message(**headers: object) -> Message:
    values = {"id": "1", "type": HELLO, "from_": did_key(OLD.public), "to": (ANNAS.did,), **headers}
    return Message(**values)  # type: ignore[arg-type]


def test_a_retired_name_writes_as_the_present_one_and_proves_it() -> None:
    packed = packer().pack(Outgoing(message()), ANNAS, ask_for_ack=False)
    unpacked = unpack(packed, keys=[ANNA])
    assert unpacked.sender == unpacked.message.from_ == OWN.did
    assert unpacked.message.from_prior is not None
    prior = read_from_prior(unpacked.message.from_prior, resolve=resolve_did_key)
    assert (prior.old_did, prior.new_did) == (did_key(OLD.public), OWN.did)


def test_who_needs_no_proof_gets_none_and_a_moved_recipient_is_addressed_anew() -> None:
    bert = new_keys()
    to = resolve_did_key(did_key(bert.public))
    read = unpack(packer().pack(Outgoing(message()), to, ask_for_ack=False), keys=[bert]).message
    assert (read.from_prior, read.to) == (None, (to.did,))


@pytest.mark.parametrize(
    ("asked", "please_ack", "sent"),
    [(True, (), ("",)), (False, (), ()), (True, ("", "other"), ("", "other")), (False, ("",), ("",))],
)
def test_a_confirmation_is_asked_for_where_the_way_gives_none(
    asked: bool, please_ack: tuple[str, ...], sent: tuple[str, ...]
) -> None:
    packed = packer().pack(Outgoing(message(please_ack=please_ack)), ANNAS, ask_for_ack=asked)
    assert unpack(packed, keys=[ANNA]).message.please_ack == sent


def test_an_anonymous_message_stays_anonymous() -> None:
    packed = packer().pack(Outgoing(message(from_=None), form="anoncrypt"), ANNAS, ask_for_ack=False)
    unpacked = unpack(packed, keys=[ANNA])
    assert (unpacked.author, unpacked.message.from_) == (None, None)


def test_a_way_through_mediators_is_wrapped_for_each() -> None:
    packed = packer().pack(Outgoing(message()), ANNAS, ask_for_ack=True)
    route = Route("libp2p", "", RELAYS, (Hop(RELAYS),))
    wrapped = packer().wrap(packed, route, ANNAS.did, 2_000_000_000)
    forward = unpack(wrapped, keys=[RELAY]).message
    assert (forward.from_, forward.please_ack, forward.expires_time) == (None, (), 2_000_000_000)
    next_did, inner = read_forward(forward)
    assert (next_did, unpack(inner, keys=[ANNA]).message.id) == (ANNAS.did, "1")
    assert packer().wrap(packed, Route("libp2p", "", ANNAS.did), ANNAS.did, None) == packed


def test_a_mediator_that_is_not_resolved_is_an_error_of_the_way() -> None:
    route = Route("http", "https://relay.example", RELAYS, (Hop("did:web:relay.example"),))
    packed = packer().pack(Outgoing(message()), ANNAS, ask_for_ack=False)
    with pytest.raises(NotResolvedYet):
        packer().wrap(packed, route, ANNAS.did, None)


def test_a_message_of_nobodys_in_a_form_that_proves_its_author_cannot_be_packed() -> None:
    with pytest.raises(LocalProtocolError):
        packer().pack(Outgoing(message(from_=None)), ANNAS, ask_for_ack=False)


def test_mail_that_was_queued_before_a_rotation_arrives_from_the_new_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as pair:
            message_id = await pair.queue()
            await pair.mail.attempted()
            renamed = new_keys()
            pair.mail.dispatcher._packer = packer(OwnDids(renamed, retired=[pair.mail.node.keys]))
            seen: list[Did | None] = []
            accept = pair.recipient._accept

            async def look(peer: object, packed: bytes) -> bytes:
                seen.append(unpack(packed, keys=(pair.recipient.node.keys,)).message.from_)
                return await accept(peer, packed)  # type: ignore[arg-type]

            pair.recipient._accept = look  # type: ignore[method-assign]
            await pair.recipient.serve()
            await pair.recipient.node.dial(pair.mail.node)
            assert await soon(pair.mail.delivery.wait_settled(message_id, 20)) == "delivered"
            assert seen == [did_key(renamed.public)]

    asyncio.run(main())
