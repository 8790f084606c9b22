"""The typed actions of the executive, and the decision which one is next.

`decide` is pure and works without a model: recall first, then a tool whose pattern fits, then other twins in the
order of how well their topics fit, then the answer. What it cannot do is stated by the answer's `degraded` flag, not
hidden.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from identity.did import Did
from node.hive.retrieval import Fitting
from node.memory.memory import Recalled
from node.mind.relevance import supports
from protocols.task import Answer

MIN_CONFIDENCE: Final = 0.3
"""An answer of another twin below this is not used."""

_ARITHMETIC = re.compile(r"(?<![\w.])[\d(][\d\s.()+*/%^-]*[-+*/%^][\d\s.()+*/%^-]*[\d)]")
_TIME = re.compile(r"\b(what time|what date|which day|current time|today's date|what day)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Recall:
    """Search this twin's own memory."""

    query: str


@dataclass(frozen=True, slots=True)
class UseTool:
    """Call a tool of this twin."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A twin that could be asked, how well its topics fit the goal, and the playbook bullet that speaks for it."""

    did: Did
    name: str
    topics: tuple[str, ...]
    score: float
    bullet_id: str | None = None


@dataclass(frozen=True, slots=True)
class AskTwin:
    """Ask another twin, one that the owner named."""

    candidate: Candidate
    question: str


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer from what is at hand, which may be nothing."""


Action = Recall | UseTool | AskTwin | Respond


@dataclass(frozen=True, slots=True)
class Asked:
    """A twin that was asked; `answer` is None if none came, and `error` says why."""

    candidate: Candidate
    answer: Answer | None
    thread: str | None = None
    error: str | None = None

    @property
    def helped(self) -> bool:
        """Whether there is an answer that can be used."""
        return self.answer is not None and bool(self.answer.answer) and self.answer.confidence >= MIN_CONFIDENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the decision depends on. `recalled` is None before the first recall.

    `taught` are the playbook bullets that answer the goal themselves, where no memory does.
    """

    goal: str
    steps_left: int
    tools: frozenset[str] = frozenset()
    recalled: Sequence[Recalled] | None = None
    taught: Sequence[Fitting] = ()
    tool_results: Mapping[str, Any] = field(default_factory=dict)
    candidates: Sequence[Candidate] = ()
    asked: Sequence[Asked] = ()

    @property
    def support(self) -> tuple[Recalled, ...]:
        """The recalled memories that can answer the goal."""
        return tuple(memory for memory in self.recalled or () if supports(self.goal, memory))

    @property
    def helper(self) -> Asked | None:
        """The twin whose answer is used."""
        return next((asked for asked in self.asked if asked.helped), None)


def decide(situation: Situation) -> Action:
    """The next action. It ends: each action but the answer can be taken only so often, and steps run out."""
    if situation.steps_left <= 1:
        return Respond()
    if situation.recalled is None:
        return Recall(situation.goal)
    tool = tool_for(situation.goal, situation.tools)
    if tool is not None and tool.name not in situation.tool_results:
        return tool
    if situation.tool_results or situation.support or situation.taught or situation.helper:
        return Respond()
    asked = {entry.candidate.did for entry in situation.asked}
    for candidate in situation.candidates:
        if candidate.did not in asked:
            return AskTwin(candidate, situation.goal)
    return Respond()


def described(action: Action) -> tuple[str, dict[str, Any]]:
    """The action's name and its input, as steps show them."""
    match action:
        case Recall(query):
            return "recall", {"query": query}
        case UseTool(name, parameters):
            return "use_tool", {"tool": name, "parameters": dict(parameters)}
        case AskTwin(twin, question):
            return "ask_twin", {"did": twin.did, "name": twin.name, "question": question, "advice": twin.bullet_id}
        case Respond():
            return "respond", {}
        case _:
            assert_never(action)


def tool_for(goal: str, tools: frozenset[str]) -> UseTool | None:
    """The built-in tool whose pattern stands in the goal, with its parameters."""
    arithmetic = _ARITHMETIC.search(goal)
    if arithmetic and "calculator" in tools:
        return UseTool("calculator", {"expression": arithmetic.group().strip().replace("^", "**")})
    if _TIME.search(goal) and "clock" in tools:
        return UseTool("clock", {})
    return None
