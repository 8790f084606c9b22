from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.hive.git.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    made = Repository(tmp_path / "hive.git")
    yield made
    made.repo.close()
