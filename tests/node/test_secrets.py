"""Two whole twins at log level DEBUG: no key, token, message, memory or goal is in any log line."""

import asyncio
import base64
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from identity.did import resolve_did_key
from identity.keys import KeyPair
from node.api.app import make_app, serve
from node.composition import open_twin
from node.config import Config, MindConfig, NetworkConfig
from node.messaging.source import PROTOCOL
from node.net.errors import RemoteNetError
from node.twin import Twin
from protocols.didcomm.envelope import pack_authcrypt
from protocols.message import Message
from protocols.task import ASK
from storage.home import Home

pytestmark = pytest.mark.slow

SECRETS = {
    "memory": "The vault under the lighthouse opens with quetzal.",
    "goal": "Which word opens the vault under the lighthouse, marmoset?",
    "message": "Meet me at the wharf, capybara.",
    "malformed": "pangolin",
    "lesson": "Ask before dawn, axolotl.",
    "content": "A file about an okapi.",
}


@dataclass(frozen=True)
class Member:
    twin: Twin
    keys: KeyPair
    token: str
    url: str
    session: aiohttp.ClientSession
    links: list[str] = field(default_factory=list)

    async def __call__(self, method: str, path: str, *, token: str | None = None, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            return response.status, await response.json(content_type=None)


@asynccontextmanager
async def open_member(folder: Path, name: str) -> AsyncIterator[Member]:
    home, keys, token = Home(folder / name), KeyPair(os.urandom(32)), os.urandom(16).hex()
    home.create()
    config = Config(
        name=name,
        network=NetworkConfig(listen=("/ip4/127.0.0.1/tcp/0",), mdns=False),
        mind=MindConfig(ask_timeout_s=20),
    )
    async with (
        open_twin(home, config, keys, model=None) as twin,
        serve(make_app(twin, token), "127.0.0.1", 0) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Member(twin, keys, token, url, session)


async def live(a: Member, b: Member) -> None:
    """What twins do, what goes wrong, and what strangers try."""
    for one, other in ((a, b), (b, a)):
        trust = {"allow": [other.twin.did], "block": [], "reputation_threshold": 1.0, "auto_adopt": True}
        assert (await one("PUT", "/v1/trust", json=trust))[0] == 200
    await a("POST", "/v1/swarm/connect", json={"multiaddr": b.twin.network.addresses()[0]})
    memory = {"content": SECRETS["memory"], "namespace": "shared", "tags": ["vault", "lighthouse"]}
    status, _ = await b("POST", "/v1/memory", json={"kind": "semantic", **memory})
    assert status in (200, 201)
    async with asyncio.timeout(20):
        while not any(twin.topics for twin in await a.twin.directory.twins()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    status, answer = await a("POST", "/v1/interact", json={"goal": SECRETS["goal"]})
    assert (status, "quetzal" in answer["answer"]) == (200, True), "the question and the memory have travelled"
    for message_type in ("https://example.org/1.0/note", ASK):  # the second one is no question, and is refused
        sent = {"to": b.twin.did, "type": message_type, "body": {"text": SECRETS["message"]}, "wait_s": 20.0}
        assert (await a("POST", "/v1/didcomm/send", json=sent))[1]["status"] == "delivered"
    assert (await a("POST", "/v1/interact", data=b'{"goal": ' + SECRETS["malformed"].encode()))[0] == 400
    assert (await a("POST", "/v1/memory", json={"kind": SECRETS["malformed"]}))[0] == 400
    assert (await a("GET", "/v1/memory", token=b.token))[0] == 401
    lesson = {"op": "add", "section": "advice", "text": SECRETS["lesson"], "tags": []}
    proposal = {"critique": SECRETS["lesson"], "ops": [lesson]}
    status, proposed = await a("POST", "/v1/playbooks/common/revisions", json=proposal)
    assert status in (200, 201), proposed
    await a.twin.content.add(SECRETS["content"].encode())
    await invite(a, b)
    await strange_things(a, b)


async def invite(a: Member, b: Member) -> None:
    """A link is its bearer's secret, whether it is taken or mangled."""
    status, invitation = await a("POST", "/v1/didcomm/invitation", json={"goal": SECRETS["goal"]})
    assert status in (200, 201), invitation
    a.links.append(invitation["id"])
    a.links.append(invitation["url"].partition("=")[2])
    assert (await b("POST", "/v1/didcomm/accept", json={"url": invitation["url"]}))[0] == 200
    for broken in (invitation["url"][:-30], invitation["url"] + "?", a.links[1]):
        assert (await b("POST", "/v1/didcomm/accept", json={"url": broken}))[0] == 400


async def strange_things(a: Member, b: Member) -> None:
    message = Message(id="1", type="https://example.org/1.0/note", body={"t": SECRETS["message"]}, from_=a.twin.did)
    packed = pack_authcrypt(message, sender=a.keys, recipients=[resolve_did_key(b.twin.did)], entropy=os.urandom)
    plain = message.to_bytes()
    for payload in (packed[:-9], plain, plain * 3, packed + plain):
        await a.twin.network.request(b.twin.peer_id, PROTOCOL, payload)
    for protocol in ("/pagi/sync/1.0", "/pagi/unknown/1.0"):
        with pytest.raises(RemoteNetError):
            await a.twin.network.request(b.twin.peer_id, protocol, SECRETS["malformed"].encode())
    await a.twin.network.publish("pagi-swarm-coordination-v1", plain)


def spellings(secret: bytes) -> list[str]:
    return [
        secret.hex(),
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode(),
        repr(secret)[2:-1],
    ]


def test_no_secret_is_in_the_log_at_debug(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    kept: list[Member] = []

    async def main() -> None:
        async with AsyncExitStack() as stack:
            kept.extend([await stack.enter_async_context(open_member(tmp_path, name)) for name in ("ada", "bela")])
            await live(*kept)

    asyncio.run(main())
    assert {record.name.partition(".")[0] for record in caplog.records if record.levelno == logging.DEBUG} >= {"node"}
    lines = caplog.text.lower()
    secrets = {name: [text.split()[-1].strip(".,?").lower(), text.lower()] for name, text in SECRETS.items()}
    for member in kept:
        secrets[f"token of {member.twin.name}"] = [member.token]
        secrets[f"invitations of {member.twin.name}"] = [link.lower() for link in member.links]
        for name, key in (("seed", member.keys.seed), ("agreement key", member.keys.agreement_secret)):
            secrets[f"{name} of {member.twin.name}"] = [text.lower() for text in spellings(key)]
    found = [name for name, texts in secrets.items() if any(text in lines for text in texts)]
    assert found == [], [
        line for line in caplog.text.splitlines() if any(t in line.lower() for n in found for t in secrets[n])
    ]
