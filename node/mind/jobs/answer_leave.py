"""The owner's leave to use what `ask` namespaces hold in an answer to another twin.

It binds the very question and twin, and is spent by one answer. The other twin never hears that there was something to
be asked for: it gets what may be told without, and may ask again.
"""

import logging
import sqlite3
from typing import Final

from identity.did import Did
from node.mind.answering.fencing import fenced
from node.mind.errors import TooLongToShow
from node.mind.jobs.approvals import Approvals, Wanted
from node.mind.jobs.leave import visible
from storage.database import Database

logger = logging.getLogger(__name__)

TOOL: Final = "answer_twin"
MAX_WAITING: Final = 16
"""Questions of other twins that wait for the owner at once: twins ask what they like, and a person reads these."""


class AnswerLeave:
    """See `node.memory.privacy.Leave`."""

    def __init__(self, approvals: Approvals, database: Database) -> None:
        self._approvals = approvals
        self._database = database

    async def given(self, did: Did, question: str) -> bool:
        """Whether the owner allowed this very answer; that is spent by asking."""
        wanted = _wanted(did, question)

        def spend(conn: sqlite3.Connection) -> bool:
            row = self._approvals.granted(conn, wanted)
            return row is not None and self._approvals.spend(conn, row, wanted)

        return await self._database.write(spend)

    async def left_out(self, did: Did, question: str) -> None:
        """Put the question before the owner, unless it waits there already or too many do."""
        wanted = _wanted(did, question)
        waiting = (await self._approvals.list(100, status="pending")).items
        answers = [row for row in waiting if row.kind == "answer"]
        if len(answers) >= MAX_WAITING or any(row.action_hash == wanted.hash for row in answers):
            return
        summary = (
            f"May what you marked `ask` be used in an answer to {did}, who asks:\n{fenced(visible(question))}\n"
            "It was told what is shared. If you approve, it is told the rest when it asks the same again, once."
        )
        try:
            await self._approvals.request("answer", summary, wanted)
        except TooLongToShow as error:
            logger.info("%s is told what is shared alone: %s", did, error)
            return
        logger.info("an answer to %s waits for the owner", did)


def _wanted(did: Did, question: str) -> Wanted:
    return Wanted(TOOL, {"did": did, "question": " ".join(question.split())}, None)
