"""Credentials: issuing and verifying a reputation credential, beside npm @digitalbazaar/vc.

Both run in one thread; the rates are per CPU second, so that other work on the machine disturbs them less. Each side
takes turns and its best round counts. Ours verifies everything but the status list: form, contexts, signature, issuer,
purpose, times and schema; the peer has no schema to check. DID documents are known without a network on both sides.
Needs Node.js and `npm ci` in tests/interop; without them only ours is measured.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.didcomm_node import NodeProcess
from benchmarks.table import Row
from identity.credentials.contexts import known_contexts
from identity.credentials.data_integrity import ProofOptions, Suite, add_proof
from identity.credentials.values import time_text
from identity.credentials.vcdm import build_credential
from identity.credentials.verify import Verifier
from identity.did import Did, DidDocument, did_key, resolve_did_key
from identity.keys import KeyPair

PEER: Final = "@digitalbazaar/vc 7.3.0"
ROUNDS: Final = 3
COUNTS: Final[dict[Suite, tuple[int, int]]] = {"eddsa-jcs-2022": (3000, 600), "eddsa-rdfc-2022": (300, 150)}
"""Repetitions of a round, ours and the peer's."""

_PACKAGE: Final = Path(__file__).resolve().parents[2] / "tests" / "interop" / "node_modules" / "@digitalbazaar" / "vc"
_CLAIMS: Final = {
    "reputationScore": 0.87,
    "contributions": [{"kind": "receipt", "evidence": f"bafkreib{n:051}", "helpful": True} for n in range(4)],
}


async def _resolve(did: Did) -> DidDocument:
    return resolve_did_key(did)


def run() -> list[Row]:
    """Each suite's rates, ours and the peer's."""
    issuer, subject = KeyPair(os.urandom(32)), did_key(os.urandom(32))
    did = did_key(issuer.public)
    method = resolve_did_key(did).assertion[0].id
    now_s = time.time()
    rows: list[Row] = []

    def plain() -> dict[str, Any]:
        return build_credential(
            types=("PAGIReputationCredential",),
            issuer=did,
            subject=subject,
            claims=_CLAIMS,
            credential_id="urn:uuid:3e1bf1f2-6f7f-4a3c-b2b1-6b2f0ad3a7d4",
            valid_from_s=now_s,
        )

    with ExitStack() as stack:
        peer = stack.enter_context(NodeProcess("data_integrity.mjs")) if _is_installed() else None
        if peer:
            peer.ask("know", contexts=dict(known_contexts()))
        for suite, (ours_count, peer_count) in COUNTS.items():
            options = ProofOptions(verification_method=method, created=time_text(now_s), suite=suite)
            signed = add_proof(plain(), options, sign=issuer.sign)
            verifier = Verifier(resolve=_resolve)

            def issue(options: ProofOptions = options) -> object:
                return add_proof(plain(), options, sign=issuer.sign)

            async def verify_all(count: int, signed: dict[str, Any] = signed, verifier: Verifier = verifier) -> None:
                for _ in range(count):
                    assert (await verifier.verify(signed, now_s=now_s)).valid

            def issue_all(count: int, issue: Callable[[], object] = issue) -> None:
                for _ in range(count):
                    issue()

            def verify(count: int, verify_all: Any = verify_all) -> None:
                asyncio.run(verify_all(count))

            theirs_issue = {"op": "issue", "credential": plain(), "seed": issuer.seed.hex(), "suite": suite}
            theirs_verify = {"op": "verify", "document": signed, "suite": suite}
            for name, ours, theirs in (("issue", issue_all, theirs_issue), ("verify", verify, theirs_verify)):
                our_rate, peer_rate = 0.0, None
                for _ in range(ROUNDS):
                    our_rate = max(our_rate, _our_rate(ours, ours_count))
                    if peer:
                        peer_rate = max(peer_rate or 0.0, _peer_rate(peer, theirs, peer_count))
                rows.append(
                    Row(f"{name}, {suite}", our_rate, peer_rate, "credentials/CPU-s", PEER, "higher", "the fastest")
                )
    return rows


def _is_installed() -> bool:
    return shutil.which("node") is not None and _PACKAGE.is_dir()


def _our_rate(operation: Callable[[int], None], count: int) -> float:
    operation(count // 10)
    start = time.process_time()
    operation(count)
    return count / (time.process_time() - start)


def _peer_rate(peer: NodeProcess, operation: dict[str, Any], count: int) -> float:
    return count / float(peer.ask("measure", what=operation, count=count)["cpu_s"])
