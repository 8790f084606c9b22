"""DIDComm envelopes: packing and unpacking a 1 KB message for one recipient, beside npm didcomm-node.

Both run in one thread; the rates are per CPU second, so that other work on the machine disturbs them less. Each side
takes turns and its best round counts. Keys and documents are known beforehand on both sides. Ours keeps the static
shared secret of a pair of twins; "first contact" is without it. A recipient with several keys, and one with keys on a
NIST curve, are measured for ours alone. Needs Node.js and `npm ci` in tests/interop; without
them only ours is measured.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from benchmarks import didcomm_node
from benchmarks.didcomm_node import PEER, NodeProcess
from benchmarks.table import Row
from identity.curves import Curve
from identity.did import Did, DidDocument, VerificationMethod, did_key, resolve_did_key
from identity.keys import KeyPair
from protocols.didcomm.agreement import agree_static, public_of
from protocols.didcomm.author import AgreementKey, Author
from protocols.didcomm.envelope import (
    Unpacked,
    pack_anoncrypt,
    pack_authcrypt,
    pack_signed,
    unpack,
    verify_signed,
)
from protocols.message import Message

ROUNDS = 3
OURS_PER_ROUND = 4000
PEER_PER_ROUND = 400
OURS_ALONE_PER_ROUND = 300
SEVERAL_KEYS = (3, 10, 64)
NIST_CURVES: tuple[Curve, ...] = ("P-256", "P-384", "P-521")
AIMED_AT = ("pack authcrypt", "unpack authcrypt")


def run() -> list[Row]:
    """Each operation's rate, ours and the peer's."""
    alice, bob = KeyPair(os.urandom(32)), KeyPair(os.urandom(32))
    sender, recipient = did_key(alice.public), did_key(bob.public)
    to = [resolve_did_key(recipient)]
    message = Message(
        id="3e1bf1f2-6f7f-4a3c-b2b1-6b2f0ad3a7d4",
        type="https://didcomm.org/basicmessage/2.0/message",
        body={"content": "x" * 1024},
        from_=sender,
        to=(recipient,),
        created_time=1_700_000_000,
    )
    authcrypted = pack_authcrypt(message, sender=alice, recipients=to, entropy=os.urandom)
    anoncrypted = pack_anoncrypt(message, recipients=to, entropy=os.urandom)
    signed = pack_signed(message, signer=alice)

    plain = json.loads(message.to_bytes())
    encrypt = {"op": "encrypt", "message": plain, "to": recipient, "from": None, "sign_by": None}
    sign_by = resolve_did_key(sender).authentication[0].id
    authcrypt = {**encrypt, "from": sender}

    def pack() -> bytes:
        return pack_authcrypt(message, sender=alice, recipients=to, entropy=os.urandom)

    def first_pack() -> bytes:
        agree_static.cache_clear()
        return pack()

    def first_unpack() -> Unpacked:
        agree_static.cache_clear()
        return unpack(authcrypted, keys=[bob])

    cases: list[tuple[str, Callable[[], object], dict[str, Any]]] = [
        ("pack authcrypt", pack, authcrypt),
        ("pack authcrypt, first contact", first_pack, authcrypt),
        ("unpack authcrypt", lambda: unpack(authcrypted, keys=[bob]), _unpack(authcrypted)),
        ("unpack authcrypt, first contact", first_unpack, _unpack(authcrypted)),
        ("pack anoncrypt", lambda: pack_anoncrypt(message, recipients=to, entropy=os.urandom), encrypt),
        ("unpack anoncrypt", lambda: unpack(anoncrypted, keys=[bob]), _unpack(anoncrypted)),
        ("pack signed", lambda: pack_signed(message, signer=alice), {"op": "sign", "message": plain, "by": sign_by}),
        ("unpack signed", lambda: verify_signed(signed), _unpack(signed)),
    ]
    rows: list[Row] = []
    with ExitStack() as stack:
        peer = stack.enter_context(NodeProcess("didcomm_node.mjs")) if didcomm_node.is_installed() else None
        if peer:
            peer.know([alice, bob])
        for name, ours, theirs in cases:
            our_rate, peer_rate = 0.0, None
            for _ in range(ROUNDS):
                our_rate = max(our_rate, _our_rate(ours, OURS_PER_ROUND))
                if peer:
                    peer_rate = max(peer_rate or 0.0, _peer_rate(peer, theirs))
            aim = f"at least 5 times {PEER}" if name in AIMED_AT else ""
            rows.append(Row(f"{name}, 1 KB", our_rate, peer_rate, "messages/CPU-s", PEER, "higher", aim))
    for count in SEVERAL_KEYS:
        rows += _ours_alone(message, f"{count} keys", "X25519", count)
    for curve in NIST_CURVES:
        rows += _ours_alone(message, curve, curve, 1)
    return rows


def _ours_alone(message: Message, name: str, curve: Curve, count: int) -> list[Row]:
    """Authcrypt between two agents with `count` keys on `curve` each; the last key opens it."""
    (writer, known), (reader, to) = _agent("writer", curve, count), _agent("reader", curve, count)
    message = replace(message, from_=writer.did, to=(reader.did,))

    def pack() -> bytes:
        return pack_authcrypt(message, sender=writer, recipients=[to], entropy=os.urandom)

    packed = pack()
    operations: dict[str, Callable[[], object]] = {
        "pack": pack,
        "unpack": lambda: unpack(packed, keys=reader.agreement[-1:], resolve=lambda did: known),
    }
    rates = {
        verb: max(_our_rate(operation, OURS_ALONE_PER_ROUND) for _ in range(ROUNDS))
        for verb, operation in operations.items()
    }
    return [
        Row(f"{verb} authcrypt, {name}, 1 KB", rate, None, "messages/CPU-s", PEER, "higher", "")
        for verb, rate in rates.items()
    ]


def _agent(name: str, curve: Curve, count: int) -> tuple[Author, DidDocument]:
    did = Did(f"did:example:{name}")
    secret_bytes = {"P-384": 48, "P-521": 66}.get(curve, 32)
    keys = tuple(AgreementKey(f"{did}#{n}", b"\x00" + os.urandom(secret_bytes - 1), curve) for n in range(count))
    methods = tuple(VerificationMethod(key.kid, curve, public_of(curve, key.secret)) for key in keys)
    return Author(did, keys, f"{did}#sign", KeyPair(os.urandom(32)).sign), DidDocument(did, (), methods)


def _our_rate(operation: Callable[[], object], times: int) -> float:
    for _ in range(times // 10):
        operation()
    start = time.process_time()
    for _ in range(times):
        operation()
    return times / (time.process_time() - start)


def _peer_rate(peer: NodeProcess, operation: dict[str, Any]) -> float:
    return PEER_PER_ROUND / float(peer.ask("measure", what=operation, count=PEER_PER_ROUND)["cpu_s"])


def _unpack(packed: bytes) -> dict[str, Any]:
    return {"op": "unpack", "packed": packed.decode()}
