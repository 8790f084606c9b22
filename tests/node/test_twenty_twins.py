"""Twenty twins and a relay, each a process of its own: whatever is killed meanwhile, all playbooks become the same."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.node.processes import LOOPBACK, Machine, Process, every_item, free_port, name_each_other, wait_until

pytestmark = pytest.mark.slow

TWINS = 20
KILLED = 4
READY_S = 180.0
SETTLE_S = 90.0
"""Only a test that fails waits so long; on two quiet cores it takes a few seconds."""

FAST_SYNC = "[network]\nsync_every_s = 5\n"
"""A twelfth of the default, so that what the dead relay did not pass on is caught up with within the test."""


def propose(twin: Process, text: str) -> str:
    """A lesson of this twin's, acknowledged."""
    op = {"op": "add", "section": "manners", "text": text, "tags": []}
    body = {"critique": "it was missing", "ops": [op]}
    return str(twin.client.post("playbooks", "common", "revisions", body=body)["cid"])


def launched(machine: Machine, relay: Process) -> list[Process]:
    """Twenty twins that know nothing but the relay, all starting at the same time."""
    address = str(relay.first_line["listen"][0])
    twins = [machine.twin(f"twin-{n}", "--bootstrap", address, config=FAST_SYNC) for n in range(TWINS)]
    start(twins)
    return twins


def start(twins: Sequence[Process]) -> None:
    for twin in twins:
        twin.launch()
    for twin in twins:
        assert twin.is_ready_within(READY_S), f"{twin.home.name} did not come up:\n{twin.last_words}"


def states(twins: Sequence[Process]) -> list[tuple[str, int]]:
    """Each twin's state hash, and how many lessons it has."""
    with ThreadPoolExecutor(4) as pool:
        shown: list[dict[str, Any]] = list(pool.map(lambda twin: twin.client.get("playbooks", "common"), twins))
    return [(playbook["state_hash"], len(playbook["bullets"])) for playbook in shown]


@pytest.mark.timeout(420)
def test_twenty_twins_of_which_some_are_killed_end_with_one_playbook(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(threads, "1")  # twenty processes share the cores
    relay = machine.relay(listen=f"{LOOPBACK.rpartition('/')[0]}/{free_port()}")
    relay.start()
    twins = launched(machine, relay)
    name_each_other(*twins)
    with ThreadPoolExecutor(TWINS) as pool:
        acknowledged = list(pool.map(lambda twin: propose(twin, f"{twin.home.name}, first lesson"), twins))
        killed, others = twins[:KILLED], twins[KILLED:]
        second = [pool.submit(propose, twin, f"{twin.home.name}, second lesson") for twin in others]
        for twin in killed:
            twin.kill()
        relay.kill()
        acknowledged += [future.result() for future in second]
        relay.start()
        start(killed)
        acknowledged += pool.map(lambda twin: propose(twin, f"{twin.home.name}, third lesson"), twins)
    lessons = 3 * TWINS - KILLED
    assert len(set(acknowledged)) == lessons

    def same() -> list[tuple[str, int]] | None:
        seen = states(twins)
        return seen if len(set(seen)) == 1 and seen[0][1] == lessons else None

    (state,) = set(wait_until(same, "all playbooks are the same", SETTLE_S))
    assert state[1] == lessons
    for twin in (twins[0], twins[-1]):
        rows = list(every_item(twin.client, "playbooks", "common", "revisions"))
        assert {row["cid"] for row in rows if row["status"] == "adopted"} == set(acknowledged)
