"""Which tools have to do with a goal: a few of them by likeness, so that a model need not read them all.

A tool is known by three texts: what it is called and says of itself, its parameters, and the lines of its plugin's
SKILLS.md that name it. It fits as well as the best of them fits the goal, or a clause of the goal: what needs two tools
is like neither of them as a whole.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from node.inference.embedder import Embedder
from plugins.host import ToolInfo
from plugins.sdk import Plugin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

TOP: Final = 3
"""Tools that are offered: how often the right one is among them stands in docs/decisions/choosing.md."""

MAX_TOOLS: Final = 512
"""Tools that are compared with one goal: a server of tools can have any number. The rest are not found by likeness."""

MAX_TEXT_CHARS: Final = 600
"""Of each text of a tool: an average over more words says little."""

MAX_SKILLS_BYTES: Final = 65_536
MAX_KEPT: Final = 4 * 3 * MAX_TOOLS
"""Vectors that are kept: those of several embedders and versions of tools. 6 MB at 256 dimensions."""

MAX_CLAUSES: Final = 8
MAX_GOAL_CHARS: Final = 4_000
"""Of a goal: which tools it needs is seen from its beginning."""

_CLAUSE: Final = re.compile(r"[,;.?!:]\s+|\s+(?:and|then|but)\s+")

Skills = Callable[[ToolInfo], str]
"""What a tool's SKILLS.md says about it; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A tool, and how well it fits a goal (about a cosine)."""

    info: ToolInfo
    score: float


class Router:
    """Finds the tools that fit. It keeps the vectors of their texts, whichever embedder they are from."""

    def __init__(self, embedder: Embedder, skills: Skills = lambda info: "") -> None:
        self._embedder = embedder
        self._skills = skills
        self._vectors: dict[tuple[str, str], NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    async def route(self, goal: str, tools: Sequence[ToolInfo], *, top: int = TOP) -> tuple[Routed, ...]:
        """The tools that fit a goal best, best first."""
        offered = tools[:MAX_TOOLS]
        if not offered:
            return ()
        scores = await asyncio.to_thread(self._scores, goal, offered)
        found = [Routed(info, round(score, 4)) for info, score in zip(offered, scores, strict=True)]
        return tuple(sorted(found, key=lambda routed: (-routed.score, routed.info.name))[:top])

    def _scores(self, goal: str, tools: Sequence[ToolInfo]) -> list[float]:
        import numpy as np

        embedder = self._embedder  # where it changes, its id does too
        texts = [texts_of(info, self._skills(info)) for info in tools]
        wanted = embedder.embed(clauses_of(goal)).T
        known = self._known(embedder, [text for some in texts for text in some])
        return [float((np.stack([known[text] for text in some]) @ wanted).max()) for some in texts]

    def _known(self, embedder: Embedder, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of texts, from those that are kept or made now."""
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if (embedder.model_id, text) not in self._vectors]
            if missing:
                if len(self._vectors) + len(missing) > MAX_KEPT:
                    self._vectors.clear()
                    missing = list(dict.fromkeys(texts))
                vectors = embedder.embed(missing)
                self._vectors.update({(embedder.model_id, t): v for t, v in zip(missing, vectors, strict=True)})
            return {text: self._vectors[embedder.model_id, text] for text in texts}


def clauses_of(goal: str) -> tuple[str, ...]:
    """The goal, and its clauses of two words or more if there are several."""
    goal = goal[:MAX_GOAL_CHARS]
    clauses = [clause for clause in _CLAUSE.split(goal) if len(clause.split()) > 1]
    return (goal, *clauses[:MAX_CLAUSES]) if len(clauses) > 1 else (goal,)


def texts_of(info: ToolInfo, skills: str) -> tuple[str, ...]:
    """The texts that a tool is known by; at least one."""
    properties = info.parameters.get("properties")
    parameters = properties.items() if isinstance(properties, Mapping) else ()
    described = "; ".join(_described(name, schema) for name, schema in parameters)
    texts = (f"{_in_words(info.name)}. {info.description}", described, skills)
    return tuple(text[:MAX_TEXT_CHARS] for text in texts if text.strip())


def skills_from(plugins: Callable[[], Sequence[Plugin]]) -> Skills:
    """The lines of each plugin's SKILLS.md that name a tool, without the marks of a table. Each file is read once."""
    read: dict[tuple[str, str], tuple[str, ...]] = {}

    def lines_of(plugin: Plugin) -> tuple[str, ...]:
        key = (plugin.name, plugin.version)
        if key not in read:
            try:
                with plugin.skills.open("rb") as file:
                    text = file.read(MAX_SKILLS_BYTES).decode("utf-8", "replace")
            except OSError as error:
                logger.warning("the SKILLS.md of plugin %s cannot be read: %s", plugin.name, error.strerror)
                text = ""
            read[key] = tuple(text.splitlines())
        return read[key]

    def skills(info: ToolInfo) -> str:
        plugin = next((one for one in plugins() if one.name == info.plugin), None)
        if plugin is None:
            return ""
        named = (line for line in lines_of(plugin) if f"`{info.name}`" in line)
        return re.sub(r"[|`*_ ]+", " ", " ".join(named)).strip()

    return skills


def _described(name: str, schema: Any) -> str:
    about = schema.get("description", "") if isinstance(schema, dict) else ""
    return f"{_in_words(name)}: {about}" if about else _in_words(name)


def _in_words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
