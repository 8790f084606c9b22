"""DIDComm envelopes: packing and unpacking a 1 KB message in each form, beside npm didcomm-node and joserfc.

Each side runs in one thread; the rates are per CPU second, so that other work on the machine disturbs them less. The
sides take turns and the best round of each counts. Keys and documents are known beforehand, and everybody opens what we
packed. Ours keeps the static shared secret of a pair of twins; "first contact" is without it. Where the recipient has
several keys all of them are here, and the first opens the message. joserfc does the JOSE layer alone, with none of
DIDComm's checks. The row shows the faster of the two, `--json` both. Without Node.js and `npm ci` in tests/interop
didcomm-node is left out.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from benchmarks import agents, didcomm_node, joserfc_jose
from benchmarks.agents import Agent
from benchmarks.didcomm_node import NodeProcess
from benchmarks.joserfc_jose import Jose
from benchmarks.table import Row
from identity.curves import Curve
from protocols.conversations.routing import read_forward, wrap
from protocols.didcomm.agreement import agree_static
from protocols.didcomm.content import Enc
from protocols.didcomm.envelope import pack_anoncrypt, pack_authcrypt, pack_signed, unpack
from protocols.message import Message

ROUNDS = 3
ROUND_S = 0.25
PROBE = 20
ENCS: tuple[Enc, ...] = ("XC20P", "A256GCM", "A256CBC-HS512")

Operation = Callable[[], object]
Timed = Callable[[int], float]
"""CPU seconds for so many repetitions."""


@dataclass(frozen=True, slots=True)
class Case:
    """One operation: ours, what didcomm-node is asked for the same, and joserfc's."""

    name: str
    ours: Operation
    node: Mapping[str, Any]
    jose: Operation


def run() -> list[Row]:
    """Each operation's rate, ours and the peers'."""
    alice, bob, mediator = agents.twin(), agents.twin(), agents.twin()
    kinds: list[tuple[str, Curve, int]] = [("3-keys", "X25519", 3), ("10-keys", "X25519", 10), ("P-256", "P-256", 1)]
    others = [
        (f", {name}", agents.agent(f"writer-{name}", curve, count), agents.agent(f"reader-{name}", curve, count))
        for name, curve, count in kinds
    ]
    with ExitStack() as stack:
        node = stack.enter_context(NodeProcess("didcomm_node.mjs")) if didcomm_node.is_installed() else None
        if node:
            node.know([alice, bob, mediator, *(one for _, *pair in others for one in pair)])
        cases = [*_twins(alice, bob), *_forwards(alice, bob, mediator)]
        for name, writer, reader in others:
            cases += _authcrypt(name, writer, reader)
        return [_row(case, node) for case in cases]


def _twins(alice: Agent, bob: Agent) -> Iterator[Case]:
    message, to, author, jose = _message(alice, bob), [bob.document], alice.author, Jose(alice, bob)
    plain = message.to_bytes()

    def forget(operation: Operation) -> Operation:
        def first() -> object:
            agree_static.cache_clear()
            return operation()

        return first

    for case in _authcrypt("", alice, bob):
        yield case
        yield Case(f"{case.name}, first contact", forget(case.ours), case.node, case.jose)
    yield from _both(
        "authcrypt + signed",
        lambda: pack_authcrypt(message, sender=author, recipients=to, entropy=os.urandom, sign=True),
        _encrypt(plain, alice, bob, sign=True),
        lambda: jose.authcrypt(jose.sign(message.to_bytes())),
        (alice, bob, jose),
    )
    yield from _both(
        "anoncrypt + authcrypt",
        lambda: pack_authcrypt(message, sender=author, recipients=to, entropy=os.urandom, hide_sender=True),
        {**_encrypt(plain, alice, bob), "protect_sender": True},
        lambda: jose.anoncrypt(jose.authcrypt(message.to_bytes())),
        (alice, bob, jose),
    )
    for enc in ENCS:
        yield from _both(
            f"anoncrypt {enc}",
            partial(pack_anoncrypt, message, recipients=to, entropy=os.urandom, enc=enc),
            {**_encrypt(plain, None, bob), "enc": enc},
            partial(_then, message.to_bytes, partial(jose.anoncrypt, enc=enc)),
            (alice, bob, jose),
        )
    yield from _both(
        "signed",
        lambda: pack_signed(message, signer=author),
        {"op": "sign", "message": orjson.loads(plain), "by": author.signing_kid},
        lambda: jose.sign(message.to_bytes()),
        (alice, bob, jose),
    )


def _authcrypt(name: str, writer: Agent, reader: Agent) -> Iterator[Case]:
    message, to, jose = _message(writer, reader), [reader.document], Jose(writer, reader)
    yield from _both(
        f"authcrypt{name}",
        lambda: pack_authcrypt(message, sender=writer.author, recipients=to, entropy=os.urandom),
        _encrypt(message.to_bytes(), writer, reader),
        lambda: jose.authcrypt(message.to_bytes()),
        (writer, reader, jose),
    )


def _forwards(alice: Agent, bob: Agent, mediator: Agent) -> Iterator[Case]:
    """Around a message that is packed already; and at the mediator, down to the bytes that it passes on."""
    packed = pack_authcrypt(_message(alice, bob), sender=alice.author, recipients=[bob.document], entropy=os.urandom)
    jose, routing = Jose(alice, mediator), [mediator.document]

    def forward() -> bytes:
        return wrap(packed, next_did=bob.did, routing=routing, entropy=os.urandom)

    wrapped = forward()
    node = {"op": "forward", "packed": packed.decode(), "to": bob.did, "routing_keys": [mediator.did]}
    yield Case("wrap in a forward", forward, node, lambda: jose.forward(packed, bob.did))
    yield Case(
        "unwrap a forward",
        lambda: read_forward(unpack(wrapped, keys=[mediator.author]).message),
        {"op": "read forward", "packed": wrapped.decode()},
        lambda: jose.read_forward(wrapped),
    )


def _both(
    name: str, pack: Callable[[], bytes], node: Mapping[str, Any], jose_pack: Operation, who: tuple[Agent, Agent, Jose]
) -> Iterator[Case]:
    """Packing, and unpacking what we packed."""
    writer, reader, jose = who
    documents = {writer.did: writer.document, reader.did: reader.document}
    packed = pack()
    assert jose.unpack(packed) == orjson.loads(_message(writer, reader).to_bytes())
    yield Case(f"pack {name}", pack, node, jose_pack)
    yield Case(
        f"unpack {name}",
        lambda: unpack(packed, keys=[reader.author], resolve=documents.__getitem__),
        {"op": "unpack", "packed": packed.decode()},
        lambda: jose.unpack(packed),
    )


def _then(first: Callable[[], bytes], second: Callable[[bytes], bytes]) -> bytes:
    return second(first())


def _message(writer: Agent, reader: Agent) -> Message:
    return Message(
        id="3e1bf1f2-6f7f-4a3c-b2b1-6b2f0ad3a7d4",
        type="https://didcomm.org/basicmessage/2.0/message",
        body={"content": "x" * 1024},
        from_=writer.did,
        to=(reader.did,),
        created_time=1_700_000_000,
    )


def _encrypt(plain: bytes, writer: Agent | None, reader: Agent, *, sign: bool = False) -> dict[str, Any]:
    return {
        "op": "encrypt",
        "message": orjson.loads(plain),
        "to": reader.did,
        "from": writer.did if writer else None,
        "sign_by": writer.author.signing_kid if writer and sign else None,
    }


def _row(case: Case, node: NodeProcess | None) -> Row:
    sides = {"": _timed(case.ours), joserfc_jose.PEER: _timed(case.jose)}
    if node:
        sides[didcomm_node.PEER] = _timed_by(node, case.node)
    rates = dict.fromkeys(sides, 0.0)
    for _ in range(ROUNDS):
        for name, timed in sides.items():
            rates[name] = max(rates[name], _rate(timed))
    return Row.against(case.name, rates.pop(""), rates, unit="messages/CPU-s", aim="the fastest")


def _rate(timed: Timed) -> float:
    count = max(PROBE, int(ROUND_S * PROBE / timed(PROBE)))
    return count / timed(count)


def _timed(operation: Operation) -> Timed:
    def timed(times: int) -> float:
        start = time.process_time()
        for _ in range(times):
            operation()
        return time.process_time() - start

    return timed


def _timed_by(node: NodeProcess, what: Mapping[str, Any]) -> Timed:
    return lambda times: float(node.ask("measure", what=what, count=times)["cpu_s"])
