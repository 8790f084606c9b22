"""docs/attacks.md names files and tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = [
    line for line in (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")
]


def test_every_file_and_test_that_is_named_exists() -> None:
    files = [path for path in ROOT.rglob("*.py") if not path.relative_to(ROOT).parts[0].startswith(".")]
    paths = [str(path.relative_to(ROOT)) for path in files]
    tests = re.findall(r"def (test_\w+)", "\n".join(path.read_text("utf-8") for path in files if "tests" in path.parts))
    named = re.findall(r"`([\w/.]*)(?:::(test_\w+)…?)?`", "\n".join(ROWS))
    assert len(named) > 80
    for path, test in named:
        if path.endswith(".py"):
            assert any(f"/{known}".endswith(f"/{path}") for known in paths), path
        if test:
            assert any(known.startswith(test) for known in tests), test
        if path.endswith("/"):
            assert (ROOT / path).is_dir(), path
