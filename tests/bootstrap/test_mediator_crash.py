"""Real processes: mail that a relay acknowledged survives `kill -9`, and reaches a twin that was away in order.

Nothing of it can be read on the relay: not on its disk, not in its memory, not in its log.
"""

import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identity.did import Did
from tests.node.processes import Machine, Process, every_item, name_each_other, wait_until

NOTE = "https://example.org/mediator-test/1.0/note"
THREADS = 4
SECRET = "the-blue-key-lies-under-the-third-stone"

pytestmark = pytest.mark.slow


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.discard_all()


def write(sender: Process, to: Did, numbers: range) -> list[str]:
    """Write notes in threads by turns; their ids."""
    ids = []
    for number in numbers:
        body = {"to": to, "type": NOTE, "body": {"n": number, "text": SECRET}, "thid": f"thread-{number % THREADS}"}
        ids.append(sender.client.post("didcomm", "send", body=body)["id"])
    return ids


def statuses(twin: Process) -> Counter[str]:
    return Counter(row["status"] for row in every_item(twin.client, "didcomm", "outbox") if row["type"] == NOTE)


def notes(twin: Process) -> list[dict[str, Any]]:
    """What came, oldest first."""
    return [row for row in every_item(twin.client, "didcomm", "inbox") if row["type"] == NOTE][::-1]


def wait_statuses(twin: Process, expected: dict[str, int]) -> None:
    wait_until(lambda: statuses(twin) == expected or None, f"{expected} in {twin.home.name}'s outbox", 90)


def check_each_once_and_in_order(twin: Process, ids: list[str]) -> None:
    rows = notes(twin)
    assert Counter(row["id"] for row in rows) == Counter(ids)
    for thread in range(THREADS):
        numbers = [row["body"]["n"] for row in rows if row["thid"] == f"thread-{thread}"]
        assert numbers == sorted(numbers)


def relay_on_a_port_of_its_own(machine: Machine) -> Process:
    """A relay that comes back at the address that it had."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return machine.relay(listen=f"/ip4/127.0.0.1/tcp/{probe.getsockname()[1]}")


def two_twins(machine: Machine, relay: Process) -> tuple[Process, Process]:
    """Twins that know each other, and of each other that the relay keeps their mail."""
    a, b = (machine.twin(name, "--bootstrap", relay.address) for name in ("a", "b"))
    a.start()
    b.start()
    name_each_other(a, b)
    for twin in (a, b):
        wait_until(lambda twin=twin: granted(twin), "the relay keeps its mail")  # type: ignore[misc]
    wait_until(lambda: knows_mediator(a), "A hears who keeps B's mail")
    return a, b


def granted(twin: Process) -> bool | None:
    [mediator] = twin.client.get("didcomm", "mediators")["items"]
    return mediator["state"] == "granted" or None


def knows_mediator(twin: Process) -> bool | None:
    return any(other["mediators"] for other in twin.client.get("twins")["items"]) or None


def test_mail_passes_a_relay_between_twins_that_are_never_there_together(machine: Machine) -> None:
    relay = machine.relay()
    relay.start()
    a, b = two_twins(machine, relay)
    to = b.did
    assert b.stop() == 0
    ids = write(a, to, range(200))
    wait_statuses(a, {"sent": 200})
    via = {row["via"] for row in every_item(a.client, "didcomm", "outbox") if row["type"] == NOTE}
    assert via == {f"mediator {relay.did} (libp2p)"}
    assert is_in_memory(relay.pid, to.encode())
    assert not is_in_memory(relay.pid, SECRET.encode())
    assert a.stop() == 0
    b.start()
    wait_until(lambda: len(notes(b)) == 200 or None, "B has all that A wrote")
    check_each_once_and_in_order(b, ids)
    a.start()
    wait_statuses(a, {"delivered": 200})
    check_each_once_and_in_order(b, ids)
    assert (relay.stop(), a.stop(), b.stop()) == (0, 0, 0)
    for path in (*relay.home.iterdir(), relay.log):
        assert SECRET.encode() not in (path.read_bytes() if path.is_file() else b"")


def test_a_relay_that_is_killed_loses_nothing_that_it_acknowledged(machine: Machine) -> None:
    relay = relay_on_a_port_of_its_own(machine)
    relay.start()
    a, b = two_twins(machine, relay)
    to = b.did
    assert b.stop() == 0
    ids: list[str] = []
    for round_ in range(3):
        ids += write(a, to, range(round_ * 40, round_ * 40 + 40))
        # While some of them are on their way: what is not acknowledged is sent again.
        wait_until(lambda: statuses(a)["sent"] > round_ * 40 or None, "the relay has some of them")  # noqa: B023
        relay.kill()
        relay.start()
    wait_statuses(a, {"sent": 120})
    relay.kill()
    relay.start()
    assert a.stop() == 0
    b.start()
    wait_until(lambda: len(notes(b)) >= 120 or None, "B has all that A wrote")
    check_each_once_and_in_order(b, ids)


def is_in_memory(pid: int, wanted: bytes) -> bool:
    """Whether a process has these bytes anywhere: a child's memory can be read by its parent (ptrace(2))."""
    found = False
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match is not None and "[v" not in line:
                start, end = (int(part, 16) for part in match.groups())
                memory.seek(start)
                found = found or wanted in memory.read(end - start)
    return found
