"""What goes into a prompt: a goal, and of all that could go with it what this audience and these models may see.

Audience is enforced here once more: for another twin's question only what it may be told goes in, whatever was passed.
So is privacy toward providers: `private` is worked out of what went in, and where nothing private is allowed it is left
out. Either is counted. How the words stand, and what there is room for, is prompt.py's.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from identity.did import Did
from node.inference.engine import ChatTurn
from node.memory.privacy import Audience, Namespaces, OtherTwin, Owner
from node.memory.record import Recalled
from node.mind.answering.prompt import Context, Given, Material, Prompt, of_notes, small_talk
from node.mind.answering.voice import Identity
from node.mind.perceiving.emotion import EmotionState, weigh
from node.mind.perceiving.perception import Perceived
from plugins.host import ToolInfo

__all__ = ["Context", "ContextBuilder", "Given", "of_notes"]

_OWNER: Final = Owner()
_CALM: Final = EmotionState()


class ContextBuilder:
    """Makes contexts for one twin."""

    def __init__(self, own: Did, namespaces: Namespaces) -> None:
        self._own = own
        self._namespaces = namespaces

    async def build(
        self,
        *,
        goal: Perceived,
        identity: Identity,
        budget_tokens: int,
        emotion: EmotionState = _CALM,
        bullets: Sequence[str] = (),
        recalled: Sequence[Recalled] = (),
        turns: Sequence[ChatTurn] = (),
        tools: Sequence[ToolInfo] = (),
        results: Sequence[Given] = (),
        audience: Audience = _OWNER,
        approved: bool = False,
        private_allowed: bool = True,
        capable: bool = True,
        talk: bool = False,
    ) -> Context:
        """The context of one answer. `budget_tokens` is the model's context, prompt and answer together.

        `recalled`, `bullets` and `results` stand with the best first, `turns` with the oldest. `approved`: the owner
        lets what `ask` namespaces hold be used in this very answer to another twin. A model that is not `capable` gets
        the notes and the question and nothing else; for `talk`, where no fact is asked for, its name and what was said.
        """
        usable = await self._namespaces.usable(audience if isinstance(audience, OtherTwin) else OtherTwin(self._own))
        material = Material(
            goal=goal,
            identity=identity,
            emotion=emotion,
            bullets=tuple(bullets),
            recalled=weigh(recalled, emotion),
            turns=tuple(turns),
            tools=tuple(tools),
            results=tuple(results),
        )
        dropped = 0
        if isinstance(audience, OtherTwin):
            told = frozenset(usable.free + (usable.after_approval if approved else ()))
            material, dropped = _told_alone(material, told)
            material = replace(material, emotion=_CALM, tools=())
        shared = frozenset(usable.free)
        private = _is_private(material, shared)
        if private and not private_allowed:
            material, more = _told_alone(material, shared)
            material = replace(material, goal=Perceived.plain(goal.redacted))
            private, dropped = False, dropped + more
        asked_by_owner = isinstance(audience, Owner)
        if talk and not capable:
            return small_talk(material, private)
        prompt = Prompt(material, budget_tokens, capable, asked_by_owner, talk=talk)
        return prompt.context(private=private, dropped=dropped)


def _told_alone(material: Material, told: frozenset[str]) -> tuple[Material, int]:
    """The material with what stands in these namespaces or is public, and how much was left out."""
    recalled = tuple(one for one in material.recalled if one.namespace in told)
    results = tuple(one for one in material.results if not one.private)
    dropped = len(material.recalled) - len(recalled) + len(material.results) - len(results) + len(material.turns)
    kept = replace(material, identity=material.identity.in_public(), recalled=recalled, turns=(), results=results)
    return kept, dropped


def _is_private(material: Material, shared: frozenset[str]) -> bool:
    return bool(
        material.goal.is_private
        or material.turns
        or material.identity != material.identity.in_public()
        or any(one.namespace not in shared for one in material.recalled)
        or any(one.private for one in material.results)
    )
