"""scripts/setup: what it does on a fresh machine, again, after a change, after a break, and in a folder that was moved.

The Python that it is given is a stand-in that notes what it is asked for.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent

STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >>"$NOTES"
case "$*" in
    *version_info*) exit "${TOO_OLD:-0}" ;;
    "-c import venv, ensurepip") exit "${NO_VENV:-0}" ;;
    "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m pip install "*) exit "${PIP_FAILS:-0}" ;;
esac
"""


class Checkout:
    """A checkout with nothing but what scripts/setup reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        (self.folder / "scripts").mkdir(parents=True)
        for name in ("pyproject.toml", "scripts/setup", "scripts/requirements.lock", "scripts/requirements-dev.lock"):
            shutil.copy(ROOT / name, self.folder / name)
        self._python = folder / "python3.11"
        self._python.write_text(STAND_IN)
        self._python.chmod(0o755)
        self._notes = folder / "notes"

    def setup(self, *arguments: str, status: int = 0, **environment: str) -> list[str]:
        """Run it; which of `venv`, `locked`, `dev` and `editable` it did, in order."""
        self._notes.write_text("")
        environment |= {"PYTHON": str(self._python), "NOTES": str(self._notes)}
        command = [str(self.folder / "scripts" / "setup"), *arguments]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
        self.said = done.stderr
        assert done.returncode == status, done.stderr
        marks = {"venv --clear": "venv", "-r scripts/requirements.lock": "locked", "-r scripts/requirements-dev": "dev"}
        marks["-e ."] = "editable"
        lines = self._notes.read_text().splitlines()
        return [name for line in lines for mark, name in marks.items() if mark in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_once_and_again(checkout: Checkout) -> None:
    assert checkout.setup() == ["venv", "locked", "editable"]
    assert "Setting up" in checkout.said
    assert checkout.setup() == []
    assert checkout.said == ""


def test_the_packages_of_the_tests_serve_a_run_too(checkout: Checkout) -> None:
    assert checkout.setup() == ["venv", "locked", "editable"]
    assert checkout.setup("--dev") == ["dev", "editable"]
    assert checkout.setup() == []
    assert checkout.setup("--dev") == []


def test_a_change_is_installed_into_what_is_there(checkout: Checkout) -> None:
    checkout.setup()
    with (checkout.folder / "scripts" / "requirements.lock").open("a") as lock:
        lock.write("# another package\n")
    assert checkout.setup() == ["locked", "editable"]


def test_after_a_break_it_begins_anew(checkout: Checkout) -> None:
    assert checkout.setup(PIP_FAILS="1", status=1) == ["venv", "locked"]
    assert checkout.setup() == ["venv", "locked", "editable"]
    checkout.setup("--dev", PIP_FAILS="1", status=1)
    assert checkout.setup() == ["venv", "locked", "editable"]


def test_a_moved_checkout_gets_a_new_one(checkout: Checkout) -> None:
    checkout.setup()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("elsewhere"))
    assert checkout.setup() == ["venv", "locked", "editable"]


def test_a_broken_interpreter_is_replaced(checkout: Checkout) -> None:
    checkout.setup()
    (checkout.folder / ".venv" / "bin" / "python").unlink()
    assert checkout.setup() == ["venv", "locked", "editable"]


def test_what_is_missing_is_named(checkout: Checkout) -> None:
    assert checkout.setup(TOO_OLD="1", status=1) == []
    assert "needs Python 3.11 or newer" in checkout.said
    assert checkout.setup(NO_VENV="1", status=1) == []
    assert "python3-venv" in checkout.said
