"""Tasks in the database: what a twin that was named can make of them."""

import sqlite3
from dataclasses import replace

import pytest

from identity.did import Did
from storage import renaming, tasks
from storage.tasks import ContractRow, TaskRow, TaskStatus

HOSTILE, HEIR, OWN, OTHER = (Did(f"did:key:{name}") for name in ("hostile", "heir", "own", "other"))


def task(number: int, status: TaskStatus = "lost", requester: Did = HOSTILE, worker: Did = OWN) -> TaskRow:
    due_ms = 9 if status in ("open", "bid", "awarded", "working") else None
    return TaskRow(
        id=str(number),
        requester=requester,
        task="do it",
        requirements=(),
        created_ms=number,
        deadline_ms=9,
        status=status,
        due_ms=due_ms,
        worker=worker,
    )


def contract(number: int, state: str = "rejected", requester: Did = HOSTILE, peer: Did = OWN) -> ContractRow:
    return ContractRow(
        requester=requester, task_id=str(number), peer=peer, state=state, confidence=0.5, eta_s=1, updated_ms=number
    )


def test_of_tasks_that_came_to_nothing_only_so_many_of_one_twin_are_kept(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MAX_LOST", 5)
    others = [task(0, "done"), task(1, "bid"), task(2, "lost", requester=OTHER)]
    for number, row in enumerate([*others, *(task(n, "lost" if n % 2 else "expired") for n in range(3, 30))]):
        tasks.put_task(conn, row)
        tasks.put_contract(conn, contract(number, requester=row.requester))
        tasks.forget_lost(conn, HOSTILE)
    left = {row.id for row in tasks.tasks(conn, limit=99).items}
    assert left == {"0", "1", "2", "25", "26", "27", "28", "29"}
    assert {row[0] for row in conn.execute("SELECT task_id FROM contracts")} == left


def test_a_twin_with_another_name_is_held_to_what_it_took_on_and_gave(conn: sqlite3.Connection) -> None:
    tasks.put_task(conn, replace(task(1, "awarded", requester=OWN), worker=HOSTILE))
    tasks.put_contract(conn, contract(1, "awarded", requester=OWN, peer=HOSTILE))
    tasks.put_task(conn, task(2, "working"))
    tasks.put_contract(conn, contract(2, "working"))
    renaming.rename(conn, HOSTILE, HEIR, 1)
    given, ours = tasks.get_task(conn, OWN, "1"), tasks.get_contract(conn, HEIR, "2", OWN)
    assert (given is not None and given.worker, ours is not None and ours.state) == (HEIR, "working")
    assert tasks.get_contract(conn, OWN, "1", HEIR) is not None
    assert tasks.get_contract(conn, OWN, "1", HOSTILE) is None
