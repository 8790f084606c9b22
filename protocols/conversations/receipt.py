"""A task's receipt: what its requester signs about the work, as a JSON artifact that the worker can show to others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from identity.artifacts import MAX_SIGNATURE_CHARS, SignedArtifact, canonical, is_valid, sign_artifact
from identity.cid import Cid
from identity.did import Did
from identity.errors import IdentityError
from identity.multibase import CODEC_RAW
from protocols import fields, limits
from protocols.errors import ForgedSignature, MalformedMessage

RECEIPT_TYPE: Final = "task-receipt"

Outcome = Literal["result", "failure"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the requester signs about the work: how it ended, how good it was (0 to 1), and when (seconds since 1970).

    Made by `sign` or read with its signature checked: an instance is proof that `requester` says so.
    """

    task_id: str
    requester: Did
    worker: Did
    outcome: Outcome
    quality: float
    finished: int
    signature: str

    @classmethod
    def sign(
        cls,
        *,
        task_id: str,
        requester: Did,
        worker: Did,
        outcome: Outcome,
        quality: float,
        finished: int,
        sign: Callable[[bytes], bytes],
    ) -> Self:
        """Sign a receipt. `sign` is the Ed25519 signature by the key of `requester`, a did:key."""
        unsigned = cls(task_id, requester, worker, outcome, quality, finished, "")
        return replace(unsigned, signature=sign_artifact(unsigned.artifact, did=requester, sign=sign).signature)

    @property
    def artifact(self) -> dict[str, Any]:
        """What is signed."""
        return {
            "type": RECEIPT_TYPE,
            "task_id": self.task_id,
            "requester": self.requester,
            "worker": self.worker,
            "outcome": self.outcome,
            "quality": self.quality,
            "finished": self.finished,
        }

    @property
    def block(self) -> bytes:
        """The receipt with its signature as canonical JSON: whoever has these bytes can check it."""
        return canonical(self._signed())

    @property
    def cid(self) -> Cid:
        """The CID of `block`, by which a credential can name the receipt."""
        return Cid.of(CODEC_RAW, self.block)

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(Receipt.from_body, {"task_id": self.task_id, "receipt": self._signed()})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage, or ForgedSignature unless its requester signed it."""
        receipt = cls.from_json(body.get("receipt"))
        if receipt.task_id != task_id_of(body):
            raise MalformedMessage("the receipt is for another task")
        return receipt

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read `{did, signature, artifact}`. Raises as `from_body` does."""
        signed = fields.mapping(value, "receipt")
        artifact = fields.mapping(signed.get("artifact"), "artifact")
        outcome = artifact.get("outcome")
        if artifact.get("type") != RECEIPT_TYPE or (outcome != "result" and outcome != "failure"):
            raise MalformedMessage("'artifact' is not a task receipt")
        receipt = cls(
            task_id=task_id_of(artifact),
            requester=fields.did(artifact.get("requester"), "requester"),
            worker=fields.did(artifact.get("worker"), "worker"),
            outcome=outcome,
            quality=fields.number(artifact.get("quality"), "quality", 0.0, 1.0),
            finished=fields.integer(artifact.get("finished"), "finished", 0),
            signature=fields.line(signed.get("signature"), "signature", MAX_SIGNATURE_CHARS),
        )
        try:
            # The artifact is written anew: with further members in it, it is not what was signed.
            valid = is_valid(SignedArtifact(receipt.requester, receipt.signature, receipt.artifact))
        except IdentityError as error:
            raise ForgedSignature("the requester's DID holds no key that can have signed") from error
        if not valid or signed.get("did") != receipt.requester:
            raise ForgedSignature("the receipt is not signed by its requester")
        return receipt

    def _signed(self) -> dict[str, Any]:
        return {"did": self.requester, "signature": self.signature, "artifact": self.artifact}


def task_id_of(body: Mapping[str, Any]) -> str:
    """Which task a body is about. Raises MalformedMessage."""
    return fields.line(body.get("task_id"), "task_id", limits.MAX_ID_CHARS)
