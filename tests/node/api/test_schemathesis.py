"""Schemathesis against a real twin: what the OpenAPI document says of identity, messages and credentials is true.

It makes requests out of the document, such as fit it and such as do not, and holds the answers against it. It is told
two things that no document says: that a body may be too large before it is looked at, and that what has the form of a
DID or of an invitation need not be one.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.node.processes import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TAGS: Final = (
    *("self", "dids", "artifacts", "didcomm", "credentials", "tasks", "swarm", "trust", "ipfs"),
    *("providers", "budget", "openai"),
)

WAITING: Final = ("/v1/swarm/connect", "/v1/didcomm/ping", "/v1/didcomm/discover", "/v1/providers/{name}/test")
"""Each of their requests waits for somebody else, for ten seconds and more where there is nobody."""

CONFIG: Final = """
[checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422]
"""


def test_the_twin_does_what_its_document_says(machine: Machine, tmp_path: Path) -> None:
    twin = machine.twin("ada")
    twin.start()
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    token = (twin.home / "api-token").read_text().strip()
    tags = [option for tag in TAGS for option in ("--include-tag", tag)]
    paths = [option for path in WAITING for option in ("--exclude-path", path)]
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"),
            *("--config-file", "schemathesis.toml", "run", f"{twin.first_line['api']}/v1/openapi.json"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", "1"),
            *("--request-timeout", "20", "--continue-on-failure", "--no-color", "--no-shrink"),
            *tags,
            *paths,
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-12_000:]}\n{twin.last_words}"
    assert twin.client.get("id")["did"] == twin.did
