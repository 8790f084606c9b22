"""What the tests of credentials share: two people, a credential, and a verifier over their DID documents."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from identity.credentials.contexts import known_contexts
from identity.credentials.data_integrity import ProofOptions, Suite, add_proof
from identity.credentials.report import Outcome
from identity.credentials.values import time_text
from identity.credentials.vcdm import build_credential
from identity.credentials.verify import Value, Verifier
from identity.did import Did, DidDocument, did_key, resolve_did_key
from identity.keys import KeyPair

NOW_S = 1_800_000_000
ISSUER, SUBJECT, STRANGER = (KeyPair(bytes([n]) * 32) for n in (1, 2, 3))
ISSUER_DID, SUBJECT_DID, STRANGER_DID = (did_key(keys.public) for keys in (ISSUER, SUBJECT, STRANGER))
CLAIMS = {"reputationScore": 0.75, "contributions": [{"kind": "answer", "evidence": "job-1", "helpful": True}]}
VECTORS = Path(__file__).parent / "vectors"


def vector(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / name).read_text("utf-8"))
    return document


def contexts_with(extra: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return {**known_contexts(), **extra}


def method_of(keys: KeyPair) -> str:
    return resolve_did_key(did_key(keys.public)).assertion[0].id


def signed(
    document: Mapping[str, Any],
    keys: KeyPair = ISSUER,
    *,
    suite: Suite = "eddsa-jcs-2022",
    created_s: float = NOW_S,
    **more: Any,
) -> dict[str, Any]:
    values = {"verification_method": method_of(keys), **more}
    return add_proof(document, ProofOptions(created=time_text(created_s), suite=suite, **values), sign=keys.sign)


def credential(**more: Any) -> dict[str, Any]:
    """A reputation credential without a proof."""
    values: dict[str, Any] = {
        "types": ("PAGIReputationCredential",),
        "issuer": ISSUER_DID,
        "subject": SUBJECT_DID,
        "claims": CLAIMS,
        "credential_id": "urn:uuid:11111111-1111-4111-8111-111111111111",
        "valid_from_s": NOW_S,
    }
    return build_credential(**{**values, **more})


async def resolve(did: Did) -> DidDocument:
    return resolve_did_key(did)


def verified(
    value: Value, *, now_s: float = NOW_S, challenge: str | None = None, domain: str | None = None, **sources: Any
) -> Outcome:
    verifier = Verifier(**{"resolve": resolve, **sources})
    return asyncio.run(verifier.verify(value, now_s=now_s, challenge=challenge, domain=domain))


def failures(outcome: Outcome) -> dict[str, str]:
    """The names of the checks that failed, each with its error's name."""
    assert outcome.valid is (not outcome.errors)
    return {check.name: type(check.error).__name__ for check in outcome.checks if not check.ok}
