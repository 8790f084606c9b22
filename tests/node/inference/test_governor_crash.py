"""A twin that is killed in the middle of a call that costs money: the cost is not lost."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity.errors import PagiError
from tests.node.processes import Machine, Process

pytestmark = pytest.mark.slow


@pytest.fixture
def silent_provider() -> Iterator[socket.socket]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listening:
        listening.settimeout(60)
        yield listening


def test_a_crash_in_the_middle_of_a_call_loses_no_cost(tmp_path: Path, silent_provider: socket.socket) -> None:
    machine = Machine(tmp_path)
    try:
        twin = machine.twin("ada")
        twin.start()
        url = f"http://127.0.0.1:{silent_provider.getsockname()[1]}/v1"
        settings = {"name": "dear", "base_url": url, "model": "m", "price_in": 5, "price_out": 10}
        twin.client.post("providers", body=settings)
        asking = threading.Thread(target=_ask, args=(twin,))
        asking.start()
        connection, _ = silent_provider.accept()  # the call is under way
        with connection:
            assert twin.client.get("budget")["scopes"][0]["calls"] == 1
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
