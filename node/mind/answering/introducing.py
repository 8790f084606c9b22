"""What the twin says of itself, and of a secret that it is told: by rule, for a model would make it up. Pure."""

from collections.abc import Sequence

from node.mind.answering.voice import Identity
from plugins.host import ToolInfo


def introduction(identity: Identity, tools: Sequence[ToolInfo], *, capable: bool) -> str:
    """Who the twin is and what it can do, as things stand on this machine."""
    owner = "your" if identity.owner is None else f"{identity.owner}'s"
    text = (
        f"I am {identity.name}, {owner} digital twin. I remember what you tell me and answer from it, work sums out, "
        f"and have {len(tools)} tools (`pagi tools`). I ask twins that you named if you say so (“ask anna …”), and "
        "learn from `pagi rate`. What acts on the world may have to wait for your leave (`pagi approvals`)."
    )
    if capable:
        return text
    return f"{text} No capable model is here: I go by fixed rules, and talk little (`pagi model add` gives me one)."


def of_secret(kind: str) -> str:
    """What to answer to an owner who tells a secret without asking for anything."""
    return (
        f"That has a secret in it ({kind}). I send it to nobody, and make no note of it: it stands in this conversation"
        " and in the record of jobs, until you forget them (/forget, `pagi jobs forget`) or the conversation expires. "
        "Say “remember that …” if I shall keep it."
    )
