"""Node.js processes with npm didcomm-node, as peers: one JSON line in, one JSON line out, as tests/interop has them."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.agents import Agent
from identity.curves import to_jwk
from identity.multibase import base64url

PEER: Final = "didcomm-node 0.4.1"
_INTEROP: Final = Path(__file__).resolve().parents[2] / "tests" / "interop"


def is_installed() -> bool:
    """Whether Node.js and the packages of tests/interop (`npm ci` there) are here."""
    return shutil.which("node") is not None and (_INTEROP / "node_modules" / "didcomm-node").is_dir()


class NodeProcess:
    """One process that runs a script of tests/interop. Leaving the context ends it."""

    def __init__(self, script: str, *arguments: str) -> None:
        node = shutil.which("node")
        assert node is not None, "ask is_installed first"
        self._process = subprocess.Popen(
            [node, str(_INTEROP / script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def know(self, agents: Sequence[Agent]) -> None:
        """Tell it the documents and secrets, in the form that it reads."""
        forms = [_document_and_secrets(agent) for agent in agents]
        self.ask("know", documents=[form[0] for form in forms], secrets=[s for form in forms for s in form[1]])

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Its answer to one request. Raises RuntimeError if it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or b'{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(f"{PEER}: {answer['error']}")
        return answer


def _document_and_secrets(agent: Agent) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    methods, secrets = [], []
    for method, secret in agent.pairs():
        jwk = to_jwk(method.curve, method.public)
        methods.append({"id": method.id, "type": "JsonWebKey2020", "controller": agent.did, "publicKeyJwk": jwk})
        secrets.append({"id": method.id, "type": "JsonWebKey2020", "privateKeyJwk": {**jwk, "d": base64url(secret)}})
    form = {
        "id": agent.did,
        "authentication": [method.id for method in agent.document.authentication],
        "keyAgreement": [method.id for method in agent.document.key_agreement],
        "verificationMethod": methods,
        "service": [],
    }
    return form, secrets
