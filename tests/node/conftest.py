import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.inference.errors import ModelMissing
from node.inference.models import ensure_bundled
from tests.node.processes import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Twins and relays as processes of this machine; none of them outlives the test."""
    machine = Machine(tmp_path)
    yield machine
    machine.discard_all()


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    """The bundled model's file, for tests that are marked `model`."""
    try:
        return asyncio.run(ensure_bundled(lambda done, total: None))
    except ModelMissing as error:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail(f"PAGI_REQUIRE_PEERS=1, but there is no model to test with: {error}")
        pytest.skip(f"{error}. {error.hint}")
