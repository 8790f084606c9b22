"""The parts of memory, made with explicit constructors. A list, like composition.py."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from node.clock import NowMs, now_ms
from node.config import MemoryConfig
from node.inference.engine import ModelSource
from node.memory.body import Body
from node.memory.consolidation import Consolidation
from node.memory.episodes import Episodes
from node.memory.forgetting import Forgetting
from node.memory.memory import Memory
from node.memory.noticing import Noticing
from node.memory.privacy import Namespaces
from node.memory.recall import Recall
from node.memory.working import WorkingMemory
from node.supervisor import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryParts:
    """What the rest of the node uses of memory; `running` are those with work of their own."""

    memory: Memory
    namespaces: Namespaces
    recall: Recall
    working: WorkingMemory
    episodes: Episodes
    noticing: Noticing
    consolidation: Consolidation
    forgetting: Forgetting
    running: tuple[Part, ...]


async def _never() -> bool:
    return False


def assemble_memory(
    memory: Memory,
    config: MemoryConfig,
    *,
    model: ModelSource,
    busy: Callable[[], Awaitable[bool]] = _never,
    body: Callable[[], Sequence[str]] = tuple,
    now: NowMs = now_ms,
) -> MemoryParts:
    """Every part of memory; nothing runs yet.

    `busy` says whether a goal of the owner is worked on; `body` what the twin knows of its tools and its machine.
    """
    namespaces, forgetting = Namespaces(memory.database), Forgetting(memory)
    consolidation = Consolidation(
        memory,
        model=model,
        body=Body(memory, body),
        busy=busy,
        idle_s=config.session_idle_s,
        enabled=config.consolidate,
        now=now,
    )
    return MemoryParts(
        memory=memory,
        namespaces=namespaces,
        recall=Recall(memory, namespaces, half_life_days=config.half_life_days, now=now),
        working=WorkingMemory(memory, ttl_s=config.working_ttl_s, now=now),
        episodes=Episodes(memory, now=now),
        noticing=Noticing(memory, compare=consolidation.compare, enabled=config.notice),
        consolidation=consolidation,
        forgetting=forgetting,
        running=(consolidation, forgetting, memory.upkeep),
    )
