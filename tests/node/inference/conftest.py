"""The bundled model's file, for tests that are marked `model`."""

import asyncio
import os
from pathlib import Path

import pytest

from node.inference.errors import ModelMissing
from node.inference.models import ensure_bundled


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    try:
        return asyncio.run(ensure_bundled(lambda done, total: None))
    except ModelMissing as error:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail(f"PAGI_REQUIRE_PEERS=1, but there is no model to test with: {error}")
        pytest.skip(f"{error}. {error.hint}")
