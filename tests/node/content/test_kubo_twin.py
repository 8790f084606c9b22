"""A twin whose content is in a Kubo, both as processes of their own; also while Kubo is away."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.interop.kubo import Kubo, kubo_for_tests
from tests.node.processes import Machine, Process, free_port, pagi, wait_until

pytestmark = [pytest.mark.kubo, pytest.mark.slow]


def run(twin: Process, *words: str, status: int = 0) -> dict[str, Any]:
    done = pagi("--home", str(twin.home), *words, "--json", timeout_s=120)
    assert done.status == status, done.stderr
    return done.document


AUTH = ("--api-auth", "bearer:secret")


def listed(kubo: Kubo) -> str:
    return kubo.ipfs(*AUTH, "pin", "ls", "--type=recursive", "--names").decode()


def test_content_is_in_kubo_and_everything_else_does_without(machine: Machine, tmp_path: Path) -> None:
    port = free_port()
    allowed = {"AuthSecret": "bearer:secret", "AllowedPaths": ["/api/v0"]}
    settings = {"Addresses.API": f"/ip4/127.0.0.1/tcp/{port}", "API.Authorizations": {"pagi": allowed}}
    secret = tmp_path / "secret"
    secret.write_text("bearer:secret\n")
    config = f'[content]\nbackend = "kubo"\nkubo_api = "http://127.0.0.1:{port}"\nkubo_secret_file = "{secret}"\n'
    twin = machine.twin("ada", config=config)
    (tmp_path / "tide").write_bytes(os.urandom(3_000_000))
    with kubo_for_tests(tmp_path / "repository", settings) as kubo:
        twin.start()
        cid = run(twin, "ipfs", "add", str(tmp_path / "tide"), "--name", "tides")["cid"]
        assert kubo.ipfs(*AUTH, "cat", cid) == (tmp_path / "tide").read_bytes()
        assert [pin["cid"] for pin in run(twin, "ipfs", "pins")["items"]] == [cid]
        bullet = {"op": "add", "section": "streets", "text": "Look both ways."}
        head = twin.client.post(
            "playbooks", "common", "revisions", body={"critique": "It was missing.", "ops": [bullet]}
        )["cid"]
        wait_until(lambda: f"{head} recursive pagi: playbook common" in listed(kubo) or None, "mirrored")
    refused = pagi("--home", str(twin.home), "ipfs", "add", str(tmp_path / "tide"), "--json")
    assert refused.status == 1
    assert "50319" in refused.stderr + refused.stdout
    run(twin, "id")
    assert twin.client.get("playbooks", "common")["bullets"]
    with kubo_for_tests(tmp_path / "repository", settings):
        run(twin, "ipfs", "get", cid, "--output", str(tmp_path / "got"))
        assert (tmp_path / "got").read_bytes() == (tmp_path / "tide").read_bytes()
        run(twin, "ipfs", "unpin", cid)
        assert run(twin, "ipfs", "gc")["size_bytes"] > 2_000_000
