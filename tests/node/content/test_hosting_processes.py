"""Content that is kept for others, between processes: by a friend, and by the relay while its owner's twin is away."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.node.processes import Machine, Process, free_port, name_each_other, pagi, wait_until

pytestmark = pytest.mark.slow

MB = 1_000_000


def run(twin: Process, *words: str, status: int = 0) -> dict[str, Any]:
    done = pagi("--home", str(twin.home), *words, "--json", timeout_s=120)
    assert done.status == status, done.stderr
    return done.document


def stands(twin: Process, cid: str) -> dict[str, Any]:
    """How a pin with a host stands once it has settled."""

    def settled() -> dict[str, Any] | None:
        for pin in run(twin, "ipfs", "pins", "--at", "all")["items"]:
            if pin["cid"] == cid and pin["status"] in ("pinned", "failed"):
                return dict(pin)
        return None

    return wait_until(settled, "settled")


def is_granted(twin: Process) -> bool:
    return any(one["state"] == "granted" for one in twin.client.get("didcomm", "mediators")["items"])


def connect(twin: Process, to: Process) -> None:
    twin.client.post("swarm", "connect", body={"multiaddr": to.address})
    wait_until(lambda: twin.client.get("swarm", "peers")["items"] or None, "connected")


def kept_at_the_relay(twin: Process) -> set[str]:
    return {pin["cid"] for pin in run(twin, "ipfs", "pins", "--at", "relay")["items"]}


def test_a_relay_keeps_content_for_its_clients_and_for_nobody_else(machine: Machine, tmp_path: Path) -> None:
    relay = machine.relay("--pin-bytes", str(64 * MB), listen=f"/ip4/127.0.0.1/tcp/{free_port()}")
    relay.start()
    a, b = (machine.twin(name, "--bootstrap", relay.address) for name in ("ada", "bela"))
    a.start()
    b.start()
    wait_until(lambda: (is_granted(a) and is_granted(b)) or None, "granted")
    (tmp_path / "tide").write_bytes(os.urandom(2 * MB))
    (tmp_path / "large").write_bytes(os.urandom(20 * MB))
    tide = run(a, "ipfs", "add", str(tmp_path / "tide"))["cid"]
    large = run(a, "ipfs", "add", str(tmp_path / "large"))["cid"]
    run(a, "ipfs", "pin", tide, "--at", "relay", "--name", "tides")
    run(a, "ipfs", "pin", large, "--at", "relay")
    assert stands(a, tide)["status"] == "pinned"
    refused = stands(a, large)
    assert refused["status"] == "failed"
    assert "larger than the" in refused["reason"]

    relay.kill()
    a.kill()
    relay.start()
    wait_until(lambda: b.client.get("swarm", "peers")["items"] or None, "connected again")
    run(b, "ipfs", "get", tide, "--output", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == (tmp_path / "tide").read_bytes()

    a.start()
    run(a, "ipfs", "unpin", tide, "--at", "relay")
    wait_until(lambda: None if tide in kept_at_the_relay(a) else True, "ended")


def test_a_friend_keeps_content_and_a_stranger_does_not(machine: Machine, tmp_path: Path) -> None:
    a, b, c = machine.twin("ada"), machine.twin("bela"), machine.twin("cleo")
    for twin in (a, b, c):
        twin.start()
    name_each_other(a, b)
    connect(b, a)
    connect(c, a)
    (tmp_path / "tide").write_bytes(os.urandom(3 * MB))
    tide = run(a, "ipfs", "add", str(tmp_path / "tide"))["cid"]
    run(a, "ipfs", "pin", tide, "--at", b.did, "--name", "tides")
    assert stands(a, tide)["status"] == "pinned"
    (hosted,) = run(b, "ipfs", "hosted")["items"]
    assert (hosted["client"], hosted["name"], hosted["status"]) == (a.did, "tides", "pinned")
    assert hosted["size_bytes"] > 3 * MB
    assert run(b, "ipfs", "gc")["blocks"] == 0
    a.kill()
    run(b, "ipfs", "get", tide, "--output", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == (tmp_path / "tide").read_bytes()

    theirs = run(c, "ipfs", "add", str(tmp_path / "tide"))["cid"]
    connect(c, b)
    run(c, "ipfs", "pin", theirs, "--at", b.did)
    pin = wait_until(
        lambda: next((pin for pin in run(c, "ipfs", "pins", "--at", "all")["items"] if pin["reason"]), None), "answered"
    )
    assert pin["status"] in ("asking", "failed")
    assert [hosted["client"] for hosted in run(b, "ipfs", "hosted")["items"]] == [a.did]

    a.start()
    connect(a, b)
    run(a, "ipfs", "unpin", tide, "--at", b.did)
    wait_until(lambda: None if run(b, "ipfs", "hosted")["items"] else True, "let go")
    assert run(b, "ipfs", "gc")["size_bytes"] > 3 * MB
