"""What of a provisional playbook is shown: what the owner would take from its history as well. Pure."""

from collections.abc import Callable, Container
from dataclasses import replace
from typing import TypeVar

from identity.did import Did
from protocols.playbook.merge import Playbook
from protocols.playbook.persistent import PersistentMap
from protocols.playbook.state import State, Written, new_bullets, new_metrics, new_written

T = TypeVar("T")


def without(whole: Playbook, *, allows: Callable[[Did], bool], hidden: Container[str]) -> Playbook:
    """A provisional playbook without what authors wrote and counted who are not allowed, and the hidden bullets.

    Metrics are sums over authors who are not named, so they are left out.
    """
    state = whole.state
    bullets = new_bullets()
    for key, bullet in state.bullets.entries():
        if bullet.added is not None and allows(bullet.added.author) and key not in hidden:
            counts = {author: count for author, count in bullet.counts.items() if allows(author)}
            bullets = bullets.set(key, replace(bullet, counts=counts))

    shown = State(
        parents=state.parents,
        bullets=bullets,
        settings=_kept(state.settings, allows),
        tools=_kept(state.tools, allows),
        templates=_kept(state.templates, allows),
        metrics=new_metrics(),
    )
    return replace(whole, state=shown)


def _kept(known: PersistentMap[str, Written[T]], allows: Callable[[Did], bool]) -> PersistentMap[str, Written[T]]:
    written: PersistentMap[str, Written[T]] = new_written()
    for key, one in known.entries():
        if allows(one.stamp.author):
            written = written.set(key, one)
    return written
