"""Bullets that say whom to ask about what: for finding a colleague, and no rule for an answer. Pure."""

from typing import Final

from protocols.playbook.merge import Bullet

ROUTING: Final = "routing"
"""The section of such bullets."""

ASK_TAG: Final = "ask:"
"""What their tag begins with; a DID follows."""


def asked_by(bullet: Bullet) -> str | None:
    """The DID that a routing bullet advises to ask."""
    if bullet.section != ROUTING:
        return None
    return next((tag.removeprefix(ASK_TAG) for tag in bullet.tags if tag.startswith(ASK_TAG)), None)
