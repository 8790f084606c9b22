"""Two agents that do what they should come to rest: nothing that is said by itself is answered for ever."""

import asyncio
from pathlib import Path
from typing import Any

from node.messaging.source import ACCEPTED, Source
from protocols.didcomm.envelope import unpack
from protocols.message import EMPTY
from tests.node.messaging.routes_back import FakeBack
from tests.node.messaging.test_delivery import HELLO
from tests.node.messaging.test_headers import ANNA, name, opened, packed
from tests.node.messaging.test_mediated import open_scene, tell_mediator
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, open_node, private, running, soon


def test_an_acknowledgement_through_a_mediator_asks_for_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_scene(tmp_path) as scene:
            sender, recipient, relay = scene.mail.node, scene.recipient.node, scene.relay
            await sender.name(recipient)
            await recipient.name(sender)
            await tell_mediator(recipient, sender, relay.node)
            theirs = Mail(recipient)
            theirs.office.keep(HELLO)
            await recipient.dial(relay.node)
            async with running(theirs.office.run(), scene.mail.office.run()):
                message_id = await scene.queue()
                assert await scene.settled(message_id) == "sent"
                await relay.bring_on()
                while not relay.kept:  # noqa: ASYNC110 - the acknowledgement, which is gathered for a moment
                    await asyncio.sleep(0.01)
                ((_, packed),) = relay.kept
                confirmation = unpack(packed, keys=(sender.keys,)).message
                assert (confirmation.type, confirmation.ack) == (EMPTY, (message_id,))
                assert confirmation.please_ack == ()

    asyncio.run(main())


def test_whoever_wants_its_acknowledgement_acknowledged_gets_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail, back = Mail(node), FakeBack()
            await name(node, ANNA)
            source = Source("websocket", "192.0.2.1", back=back)
            headers: dict[str, Any] = {"return_route": "all", "please_ack": ("",)}
            confirmation = private(ANNA, node, EMPTY, ack=("something",), **headers)
            note = private(ANNA, node, **headers)
            async with running(mail.answers.run()):
                for message in (confirmation, note):
                    assert await mail.intake.accept(source, packed(message, node)) == ACCEPTED
                assert opened(await soon(back.sent.get())).ack == (note.id,)
            assert back.sent.empty()

    asyncio.run(main())
