import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FAKE_TWIN = Path(__file__).parents[1] / "api" / "fake_twin.py"


@pytest.fixture(scope="session")
def running_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home on which a fake twin runs, in a process of its own, for all tests of the command line."""
    home = tmp_path_factory.mktemp("running")
    with subprocess.Popen(
        [sys.executable, str(FAKE_TWIN), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(FAKE_TWIN.parents[3])},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://"), "the fake twin did not start"
        yield home
        process.stdin.close()
        assert process.wait(timeout=30) == 0
