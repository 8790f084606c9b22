"""Two copies of one home: each notices the other, and nothing else looks like one."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from identity.did import did_key
from identity.keys import KeyPair
from node.dids.second_copy import SecondCopy
from protocols.didcomm.envelope import pack_signed
from protocols.message import Message
from protocols.swarm import TOPIC
from storage import eventlog
from tests.node.net.fake import FakeSwarm
from tests.node.parts import START_MS, Node, new_keys, open_node, running
from tests.node.processes import Machine, Process, every_item, pagi, wait_until
from tests.node.test_gossip import NEWS, take

KEYS = new_keys()
START_S = START_MS // 1000


def news(keys: KeyPair, *, at_s: int, message_id: str | None = None) -> bytes:
    message = Message(
        id=message_id or os.urandom(8).hex(), type=NEWS, body={}, from_=did_key(keys.public), created_time=at_s
    )
    return pack_signed(message, signer=keys)


async def events_of(node: Node) -> list[str]:
    log = await node.database.read(lambda conn: eventlog.read_log(conn, limit=100))
    return [entry.event_type for entry in log.items]


def watched(node: Node) -> SecondCopy:
    watch = SecondCopy(node.did, node.events)
    node.gossip.on_own_message = watch.on_own_message
    return watch


def test_a_message_in_our_name_that_we_did_not_make_is_noticed_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path, keys=KEYS) as node:
            watch = watched(node)
            await node.gossip.join(TOPIC)
            async with running(node.gossip.run()):
                await take(node, news(KEYS, at_s=START_S + 1))
                assert watch.reason is not None
                await take(node, *(news(KEYS, at_s=START_S + n) for n in range(2, 9)))
            assert (await events_of(node)).count("second_copy_seen") == 1

    asyncio.run(main())
    assert sum("ANOTHER COPY" in record.message for record in caplog.records) == 1


def test_our_own_messages_that_come_back_are_ours(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path, keys=KEYS) as node:
            watch = watched(node)
            await node.gossip.join(TOPIC)
            node.clock.advance(10)
            first, second = [await node.gossip.keep(NEWS, {"n": n}) for n in range(2)]
            async with running(node.gossip.run()):
                await take(node, first[1], second[1], first[1])
                await take(node, news(KEYS, at_s=START_S - 100))
            assert watch.reason is None, "nor is one from before our start a copy's"

    asyncio.run(main())


def test_a_message_that_we_made_before_while_our_clock_was_ahead_is_ours(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path, keys=KEYS) as node:
            node.clock.advance(200)
            _, signed = await node.gossip.keep(NEWS, {})
        async with open_node(FakeSwarm(), tmp_path, keys=KEYS) as node:
            watch = watched(node)
            await node.gossip.join(TOPIC)
            async with running(node.gossip.run()):
                await take(node, signed)
            assert watch.reason is None

    asyncio.run(main())


def test_nobody_can_forge_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path, keys=KEYS) as node:
            watch = watched(node)
            await node.gossip.join(TOPIC)
            forged = bytearray(news(KEYS, at_s=START_S + 5))
            forged[30] ^= 1
            async with running(node.gossip.run()):
                await take(node, bytes(forged), news(new_keys(), at_s=START_S + 5))
            assert watch.reason is None

    asyncio.run(main())


@pytest.mark.slow
def test_a_restored_copy_that_runs_beside_the_first_sees_it(machine: Machine, tmp_path: Path) -> None:
    config = "[network]\nsync_every_s = 1\nannounce_every_s = 1\n"
    relay = machine.relay()
    relay.start()
    first = machine.twin("first", "--bootstrap", relay.address, config=config)
    first.start()
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    backup = str(tmp_path / "backup")
    made = pagi("backup", backup, "--home", str(first.home), "--json", "--passphrase-file", str(secret))
    assert made.status == 0, made.stderr
    assert made.document["did"] == first.did
    home = tmp_path / "second"
    restored = pagi("restore", backup, "--home", str(home), "--json", "--passphrase-file", str(secret))
    assert restored.status == 0, restored.stderr
    assert "never let both of them run" in restored.document["warning"]
    assert not (home / "api-token").exists()

    second = machine.twin("second", "--bootstrap", relay.address, home=home)
    second.start()
    assert second.did == first.did
    # Behind one relay the copy that came second is told what the first one says; a relay keeps one of two equal peers.
    health = wait_until(partial(sees_another, second), "it hears its other self")
    assert health["status"] == "degraded"

    def recorded() -> int | None:
        events = [item["event_type"] for item in every_item(second.client, "events", "log")]
        return events.count("second_copy_seen") or None

    assert wait_until(recorded, "it is in the log") == 1
    findings = pagi("doctor", "--home", str(second.home), "--json").document["checks"]
    (finding,) = [finding for finding in findings if finding["name"] == "identity"]
    assert (finding["state"], "docs/identity.md" in finding["hint"]) == ("fail", True)


def sees_another(twin: Process) -> dict[str, Any] | None:
    _, health = twin.client.ready()
    return health if health["checks"]["identity"]["detail"].startswith("degraded") else None
