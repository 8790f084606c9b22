"""A twin that is killed in the middle of a call that costs money: the cost is not lost."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from identity.errors import PagiError
from tests.node.processes import Machine, Process, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def silent_provider() -> Any:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def test_a_crash_in_the_middle_of_a_call_loses_no_cost(tmp_path: Path, silent_provider: str) -> None:
    machine = Machine(tmp_path)
    try:
        twin = machine.twin("ada")
        twin.start()
        settings = {"name": "dear", "base_url": silent_provider, "model": "m", "price_in": 5, "price_out": 10}
        twin.client.post("providers", body=settings)
        asking = threading.Thread(target=_ask, args=(twin,))
        asking.start()
        wait_until(lambda: True if twin.client.get("budget")["scopes"][0]["calls"] else None, "the call is under way")
        twin.kill()
        asking.join(30)
        twin.start()
        (row,) = twin.client.get("budget", "usage")["items"]
        assert (row["provider"], row["calls"], row["failed"]) == ("dear", 1, 1)
        assert row["money"] >= 16 * 10 / 1e6, "what sixteen tokens of an answer cost"
        assert twin.client.get("budget")["scopes"][0]["calls"] == 0
    finally:
        machine.discard_all()


def _ask(twin: Process) -> None:
    with contextlib.suppress(PagiError):
        twin.client.post("providers", "dear", "test")
