"""Content between twins that are processes of their own: over the network, and through a kill in the middle."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.cli.errors import ApiProblem, NodeNotRunning, NodeSilent
from tests.node.content.content_parts import files_below
from tests.node.processes import Machine, Process, pagi, wait_until

pytestmark = pytest.mark.slow

MB = 1_000_000


def two(machine: Machine) -> tuple[Process, Process]:
    a, b = machine.twin("ada"), machine.twin("bela")
    a.start()
    b.start()
    connect(a, b)
    return a, b


def connect(a: Process, b: Process) -> None:
    b.client.post("swarm", "connect", body={"multiaddr": a.address})
    wait_until(lambda: b.client.get("swarm", "peers")["items"] or None, "connected")


def run(twin: Process, *words: str, status: int = 0) -> dict[str, Any]:
    done = pagi("--home", str(twin.home), *words, "--json", timeout_s=120)
    assert done.status == status, done.stderr
    return done.document


def test_a_file_and_a_folder_from_one_twin_to_the_other(machine: Machine, tmp_path: Path) -> None:
    a, b = two(machine)
    (tmp_path / "big").write_bytes(os.urandom(30 * MB))
    folder = tmp_path / "folder"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "sub" / "tide.txt").write_text("the tide")
    (folder / "zeros").write_bytes(bytes(3 * MB))
    (folder / "link").symlink_to("sub/tide.txt")
    (folder / ".hidden").write_text("mine")
    big = run(a, "ipfs", "add", str(tmp_path / "big"))["cid"]
    added = pagi("--home", str(a.home), "ipfs", "add", str(folder), "--json")
    assert "1 hidden" in added.stderr
    tree = added.document["cid"]

    done = run(b, "ipfs", "cat", big, "--offset", "1000000", "--length", "5000000", "--output", str(tmp_path / "part"))
    assert done["size_bytes"] == 5 * MB
    assert (tmp_path / "part").read_bytes() == (tmp_path / "big").read_bytes()[MB : 6 * MB]
    assert run(b, "ipfs", "usage")["size_bytes"] < MB
    run(b, "ipfs", "get", tree, "--output", str(tmp_path / "got"))
    assert files_below(tmp_path / "got") == {name: data for name, data in files_below(folder).items() if name[0] != "."}
    assert (tmp_path / "got" / "link").readlink() == Path("sub/tide.txt")
    assert (tmp_path / "got" / "sub" / "empty").is_dir()

    pinned = run(b, "ipfs", "pin", big, "--name", "big")
    assert pinned["new_bytes"] > 30 * MB
    assert run(b, "ipfs", "pins", "--name", "big")["items"][0]["cid"] == big
    a.kill()
    run(b, "ipfs", "get", big, "--output", str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "big").read_bytes()
    run(b, "ipfs", "unpin", big)
    assert run(b, "ipfs", "gc")["size_bytes"] > 30 * MB


def test_a_fetch_that_was_killed_goes_on_where_it_was(machine: Machine) -> None:
    a, b = two(machine)
    data = os.urandom(150 * MB)
    cid = a.client.upload("ipfs", "add", body=[data], size_bytes=len(data), content_type="application/octet-stream")[
        "cid"
    ]
    begun = threading.Event()

    def on_progress(progress: dict[str, Any]) -> None:
        if progress["blocks"] > 20:
            begun.set()

    def pin() -> None:
        try:
            b.client.follow("PUT", "ipfs", "pins", cid, body={}, on_progress=on_progress)
        except (NodeSilent, NodeNotRunning, ApiProblem):
            pass  # it was killed
        finally:
            begun.set()

    pinning = threading.Thread(target=pin)
    pinning.start()
    assert begun.wait(60)
    b.kill()
    pinning.join()
    b.start()
    kept = b.client.get("ipfs", "usage")["size_bytes"]
    assert kept > MB
    connect(a, b)
    pinned = b.client.follow("PUT", "ipfs", "pins", cid, body={}, on_progress=lambda _: None)
    assert pinned["new_bytes"] > 0, "it was all there when the twin was killed"
    assert pinned["size_bytes"] - pinned["new_bytes"] >= kept - MB
    assert b.client.get_bytes("ipfs", "cat", cid) == data


def test_an_add_and_a_collection_that_were_killed_leave_what_was_acknowledged(machine: Machine) -> None:
    a = machine.twin("ada")
    a.start()
    kept = {}
    for number in range(3):
        data = os.urandom(5 * MB + number)
        kept[a.client.post_bytes("ipfs", "add", data=data)["cid"]] = data
    loose = os.urandom(40 * MB)
    query = {"pin": "false"}
    a.client.upload("ipfs", "add", body=[loose], size_bytes=len(loose), content_type="x/y", query=query)
    under_way = threading.Event()

    def half() -> Iterator[bytes]:
        for _ in range(30):
            yield os.urandom(MB)
        under_way.set()
        killed.wait(60)
        yield os.urandom(MB)

    killed = threading.Event()

    def ask(what: str) -> None:
        try:
            if what == "gc":
                a.client.post("ipfs", "gc")
            else:
                a.client.upload("ipfs", "add", body=half(), size_bytes=None, content_type="x/y")
        except (NodeSilent, NodeNotRunning):
            pass  # it was killed

    adding = threading.Thread(target=ask, args=("add",))
    adding.start()
    assert under_way.wait(60)
    collecting = threading.Thread(target=ask, args=("gc",))
    collecting.start()
    a.kill()
    killed.set()
    adding.join()
    collecting.join()
    a.start()
    for cid, data in kept.items():
        assert a.client.get_bytes("ipfs", "cat", cid) == data
    assert {pin["cid"] for pin in a.client.get("ipfs", "pins")["items"]} >= kept.keys()
    a.client.post("ipfs", "gc")
    used = a.client.get("ipfs", "usage")["size_bytes"]
    assert used < 17 * MB
    assert all(a.client.get_bytes("ipfs", "cat", cid) == data for cid, data in kept.items())


def test_what_does_not_fit_is_rolled_back(machine: Machine) -> None:
    """The quota stands for the disk: what does not fit leaves nothing, and what was there stays."""
    a = machine.twin("ada", config="[content]\nquota_bytes = 20_000_000\n")
    a.start()
    data = os.urandom(8 * MB)
    cid = a.client.post_bytes("ipfs", "add", data=data)["cid"]
    used = a.client.get("ipfs", "usage")["size_bytes"]
    more = os.urandom(15 * MB)
    with pytest.raises(ApiProblem) as caught:
        a.client.upload("ipfs", "add", body=[more], size_bytes=None, content_type="x/y")
    assert caught.value.document["code"] == 50771
    assert a.client.get("ipfs", "usage")["size_bytes"] == used
    assert a.client.get_bytes("ipfs", "cat", cid) == data
    failed = pagi("--home", str(a.home), "ipfs", "add", "/dev/zero", "--json", timeout_s=120)
    assert failed.document["code"] == 50771
    assert "quota" in failed.stderr
    assert a.client.get("ipfs", "usage")["size_bytes"] == used
