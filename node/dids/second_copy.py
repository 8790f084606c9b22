"""Noticing that another process speaks in our name: a copy of this home that runs elsewhere, or a thief with our key.

Two twins with one key lose each other's mail and write playbook revisions that exclude each other. Nothing is done
about it here but to say so: which of the two should stop is the owner's to decide.
"""

import logging

from identity.did import Did, PeerId
from node.events import EventBus
from protocols.message import Message

logger = logging.getLogger(__name__)


class SecondCopy:
    """What was noticed since this process started: the first case is recorded and logged, all of them are the same."""

    def __init__(self, did: Did, events: EventBus) -> None:
        self._did = did
        self._events = events
        self.reason: str | None = None

    async def on_own_message(self, message: Message, via: PeerId) -> None:
        """A public message in our name, newer than our start, that we did not make."""
        await self.notice(f"a message of {message.type} was signed with this twin's key, but not here")

    async def notice(self, reason: str) -> None:
        """Note it, once."""
        if self.reason is not None:
            return
        self.reason = reason
        logger.warning("ANOTHER COPY OF THIS TWIN IS RUNNING: %s. Stop one of them; see docs/identity.md", reason)
        await self._events.publish("second_copy_seen", self._did, {"did": self._did, "reason": reason}, source="swarm")
