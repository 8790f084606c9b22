"""A real twin beside a Git repository: it pulls by itself, pushes, survives being killed, and the doctor knows."""

from typing import Any

import pytest

from tests.node.hive.git.repositories import Repository
from tests.node.processes import Machine, Process, pagi, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def texts(twin: Process) -> set[str]:
    return {bullet["text"] for bullet in twin.client.get("playbooks", "common")["bullets"]}


def run(twin: Process, *words: str) -> dict[str, Any]:
    done = pagi("playbook", *words, "--home", str(twin.home), "--json")
    assert done.status == 0, done.stderr
    return done.document


def test_a_twin_keeps_in_step_with_a_repository(machine: Machine, repository: Repository) -> None:
    repository.commit({"playbook.toml": '[[bullets]]\nsection = "habits"\ntext = "Measure first."\n'})
    twin = machine.twin("ada", config=f"[hive.git]\nurl = '{repository.path}'\n")
    twin.start()
    wait_until(lambda: texts(twin) or None, "the merged bullet")
    assert texts(twin) == {"Measure first."}
    run(twin, "propose", "--critique", "They were glad.", "--add", "manners", "Thank whoever answered.")
    pushed = run(twin, "push")
    assert repository.branches().keys() == {"main", pushed["branch"]}
    assert f"ada <{twin.did}>".encode() == repository.head(pushed["branch"]).author
    twin.kill()
    repository.commit({"playbook.toml": '[[bullets]]\nsection = "habits"\ntext = "Measure twice."\n'})
    twin.start()
    wait_until(lambda: "Measure twice." in texts(twin) or None, "the next merged bullet")
    assert texts(twin) == {"Measure twice.", "Thank whoever answered."}
    assert run(twin, "push")["branch"] is None
    tool = pagi("call", "hive_pull", "--home", str(twin.home), "--json")
    assert tool.status == 0, tool.stderr
    assert repository.branches()["main"] in tool.stdout
    assert run(twin, "git")["failing"] is None
    hidden = repository.path.rename(machine.folder / "elsewhere")
    assert pagi("playbook", "pull", "--home", str(twin.home)).status == 1
    doctor = pagi("doctor", "--home", str(twin.home), "--json").document
    finding = next(check for check in doctor["checks"] if check["name"] == "git")
    assert finding["state"] == "warn"
    assert str(repository.path) in finding["detail"]
    hidden.rename(repository.path)
    assert twin.stop() == 0
