"""Taking back what a case has done: a setting of this twin, a revision of ours, a red line.

An export is a file of the owner's own disk and stays; whoever takes the action back is told where it is.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from identity.cid import Cid
from node.mind.meta.errors import ActionFinal
from node.mind.meta.sharing import still_needed
from node.mind.meta.tuning import Tuning
from node.red_lines.errors import RedLineUnknown
from node.red_lines.red_lines import RedLines
from protocols.playbook.merge import Playbook

TAKEN_BACK: Final = "Takes back an earlier revision of this twin, which did not help."


class Playbooks(Protocol):
    """What this needs of the hive."""

    red_lines: RedLines

    async def view(self, name: str) -> Playbook: ...

    async def propose(
        self,
        name: str,
        critique: str,
        ops: Sequence[Mapping[str, Any]],
        evidence: Sequence[str] = (),
        *,
        anyway: bool = False,
        also: Callable[[sqlite3.Connection], None],
    ) -> Cid: ...


class Undoing:
    """Undoes by what `Taken.undo` says."""

    def __init__(self, tuning: Tuning, playbooks: Playbooks) -> None:
        self._tuning = tuning
        self._playbooks = playbooks

    @property
    def settings(self) -> Mapping[str, Any]:
        """All settings as they are, for `restore`."""
        return self._tuning.all

    async def restore(self, settings: Mapping[str, Any], *, also: Callable[[sqlite3.Connection], None]) -> None:
        """Have the settings as they were, and write `also` with that."""
        await self._tuning.restore(settings, also=also)

    async def undo(self, undo: Mapping[str, Any], *, also: Callable[[sqlite3.Connection], None]) -> str:
        """Take it back, and write `also` with the last of it; what was done, in words.

        Of a setting of several entries those go that were added. Raises ActionFinal where what was set has been changed
        again since: it is not ours to decide between the two.
        """
        if "tuning" in undo:
            key, before = undo["tuning"]
            value = _without(key, self._tuning.get(key), before=before, now=undo.get("now"))
        told = [await self._without_line(line_id) for line_id in undo.get("red_lines", ())]
        if "file" in undo:
            told.append(f"the file {undo['file']} is left where it is")
        if "tuning" in undo:
            await self._tuning.put(key, value, also=also)
            told.append(f"the setting {key} is as it was")
        elif "playbook" in undo:
            told.append(await self._revised(undo["playbook"], undo["ops"], also))
        else:
            await self._tuning.write(also)
        return "; ".join(told) or "there was nothing to take back"

    async def _without_line(self, line_id: str) -> str:
        try:
            await self._playbooks.red_lines.remove(line_id)
        except RedLineUnknown:
            return f"the red line {line_id} was gone already"
        return f"the red line {line_id} is gone"

    async def _revised(
        self, name: str, ops: Sequence[dict[str, Any]], also: Callable[[sqlite3.Connection], None]
    ) -> str:
        """A revision that undoes what is left to undo. What comes back was in the playbook before: red lines apart."""
        needed = still_needed(ops, await self._playbooks.view(name))
        if not needed:
            await self._tuning.write(also)
            return f"the playbook {name} has nothing of it any more"
        cid = await self._playbooks.propose(name, TAKEN_BACK, needed, anyway=True, also=also)
        return f"revision {cid} of the playbook {name} takes it back"


def _without(key: str, current: Any, *, before: Any, now: Any) -> Any:
    """A setting without what made `now` of `before`. Raises ActionFinal."""
    if current == now:
        return before
    if isinstance(now, list) and isinstance(current, list):
        return [one for one in current if one not in now or one in (before or ())] or None
    if isinstance(now, dict) and isinstance(current, dict):
        old = before or {}
        added = {name: value for name, value in now.items() if old.get(name) != value}
        if added.items() <= current.items():
            kept = {name: value for name, value in current.items() if name not in added}
            return {**kept, **{name: old[name] for name in added if name in old}} or None
    raise ActionFinal(f"the setting {key} was changed again since")
