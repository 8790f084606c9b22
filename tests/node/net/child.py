"""A network in a process of its own, for tests that kill it: `python child.py SEED_HEX LISTEN`.

It subscribes to the tests' topic and serves an echo. It reads commands from stdin, one a line (`dial ADDRESS`,
`publish TEXT`), and writes JSON lines: its addresses first, then each message that it hears.
"""

import asyncio
import json
import sys

from identity.cid import Cid
from identity.keys import KeyPair
from node.net.errors import NetError
from node.net.libp2p_network import open_network
from node.net.port import GossipMessage

TOPIC = "pagi-test"
ECHO = "/pagi/test-echo/1.0"


class NoBlocks:
    def get(self, cid: Cid) -> bytes | None:
        return None

    def has(self, cid: Cid) -> bool:
        return False


def tell(kind: str, value: object) -> None:
    sys.stdout.write(json.dumps({kind: value}) + "\n")
    sys.stdout.flush()


def hear(message: GossipMessage) -> None:
    tell("heard", message.data.decode())


async def echo(peer: str, payload: bytes) -> bytes:
    return payload


async def main(seed: bytes, listen: str) -> None:
    loop = asyncio.get_running_loop()
    async with open_network(KeyPair(seed), listen=[listen], blocks=NoBlocks()) as network:
        await network.subscribe(TOPIC, hear)
        await network.serve(ECHO, echo, max_request_bytes=65536, max_in_flight_per_peer=64)
        tell("addresses", network.addresses())
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, _, argument = line.strip().partition(" ")
            try:
                if command == "dial":
                    await network.dial(argument)
                elif command == "publish":
                    await network.publish(TOPIC, argument.encode())
                tell("done", command)
            except NetError as error:
                tell("failed", type(error).__name__)


asyncio.run(main(bytes.fromhex(sys.argv[1]), sys.argv[2]))
