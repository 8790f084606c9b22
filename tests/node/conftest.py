from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.processes import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Twins and relays as processes of this machine; none of them outlives the test."""
    machine = Machine(tmp_path)
    yield machine
    machine.discard_all()
