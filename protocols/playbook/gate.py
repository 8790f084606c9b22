"""A gate result: how a twin's own held-out checks came out without and with a revision's bullets.

A dag-cbor block, signed by a dag-jose block as a revision is. It links to the revision. Whoever reads it believes as
much of it as it trusts its author: the checks themselves stay with that twin.
"""

from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import dag_cbor, fields, limits
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, SenderMismatch
from protocols.playbook import dag_jose
from protocols.playbook.links import link, members
from protocols.playbook.revision import parse_name

KIND: Final = "gate"
_DEPTH: Final = 1
_KEYS: Final = frozenset(
    {"v", "kind", "playbook", "revision", "author", "ts", "checks", "passed_without", "passed_with", "by"}
)


@dataclass(frozen=True, slots=True)
class GateResult:
    """`passed_without` and `passed_with` of `checks` came out right; `by` is what answered them, a model's name.

    `ts` is the author's clock, milliseconds since 1970.
    """

    playbook: str
    revision: Cid
    author: Did
    ts: int
    checks: int
    passed_without: int
    passed_with: int
    by: str


@dataclass(frozen=True, slots=True)
class SignedGateResult:
    """A gate result with its two blocks. `cid` names the envelope."""

    cid: Cid
    payload_cid: Cid
    result: GateResult
    envelope_block: bytes
    payload_block: bytes


def sign_gate_result(result: GateResult, keys: KeyPair) -> SignedGateResult:
    """Make both blocks. Raises LocalProtocolError if the author is not `keys`, or others would refuse it."""
    if result.author != did_key(keys.public):
        raise LocalProtocolError("a gate result is signed by its author only")
    payload_block = dag_cbor.encode(
        {
            "v": 1,
            "kind": KIND,
            "playbook": result.playbook,
            "revision": bytes(result.revision),
            "author": result.author,
            "ts": result.ts,
            "checks": result.checks,
            "passed_without": result.passed_without,
            "passed_with": result.passed_with,
            "by": result.by,
        }
    )
    envelope_block = dag_jose.seal(Cid.of(CODEC_DAG_CBOR, payload_block), keys)
    try:
        return verify_gate_result(envelope_block, payload_block)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not fit to be signed: {error}") from error


def verify_gate_result(envelope_block: bytes, payload_block: bytes) -> SignedGateResult:
    """Check both blocks and read what they say. Raises RemoteProtocolError as `verify_revision` does."""
    envelope, value = dag_jose.opened(
        envelope_block, payload_block, max_bytes=limits.MAX_GATE_RESULT_BYTES, max_depth=_DEPTH
    )
    body = members(value, "gate result", _KEYS)
    if body["kind"] != KIND:
        raise MalformedMessage("a signed block of another kind")
    author = Did(fields.line(body["author"], "author", limits.MAX_KID_CHARS))
    if author != envelope.signer:
        raise SenderMismatch("the gate result's author is not who signed it")
    checks = fields.integer(body["checks"], "checks", 1, limits.MAX_CHECKS)
    result = GateResult(
        playbook=parse_name(body["playbook"]),
        revision=link(body["revision"], "revision", CODEC_DAG_JOSE),
        author=author,
        ts=fields.integer(body["ts"], "ts", 0),
        checks=checks,
        passed_without=fields.integer(body["passed_without"], "passed_without", 0, checks),
        passed_with=fields.integer(body["passed_with"], "passed_with", 0, checks),
        by=fields.line(body["by"], "by", limits.MAX_MODEL_NAME_CHARS),
    )
    return SignedGateResult(
        cid=Cid.of(CODEC_DAG_JOSE, envelope_block),
        payload_cid=envelope.payload,
        result=result,
        envelope_block=envelope_block,
        payload_block=payload_block,
    )
