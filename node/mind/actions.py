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
from node.memory.memory import Recalled
from protocols.task import Answer

MIN_LIKENESS: Final = 0.40
"""Cosine likeness from which a memory may answer a goal; with the embedded embedder unrelated sentences stay below."""

MIN_COVERAGE: Final = 0.5
"""Share of the goal's own words that a memory must contain: likeness alone takes one kiln for another."""

MIN_CONFIDENCE: Final = 0.3
"""An answer of another twin below this is not used."""

_WORD = re.compile(r"[^\W_]{3,}")
_COMMON: Final = frozenset(
    """
    about all and any are but can could did does find for from get give had has have her him his how its list may
    might much must not our out please she should show some tell than that the their them then there these they this
    those was were what when where which who whom whose why will with would you your
    """.split()  # noqa: SIM905 - sixty quoted words are harder to read
)
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
class AskTwin:
    """Ask another twin, one that the owner named. `advice` is the playbook bullet that speaks for it, if one does."""

    did: Did
    name: str
    question: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer from what is at hand, which may be nothing."""


Action = Recall | UseTool | AskTwin | Respond


@dataclass(frozen=True, slots=True)
class Candidate:
    """A twin that could be asked, how well its topics fit the goal, and the playbook bullet that speaks for it."""

    did: Did
    name: str
    topics: tuple[str, ...]
    score: float
    bullet_id: str | None = None


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
    """All that the decision depends on. `recalled` is None before the first recall."""

    goal: str
    steps_left: int
    tools: frozenset[str] = frozenset()
    recalled: Sequence[Recalled] | None = None
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
    if situation.tool_results or situation.support or situation.helper:
        return Respond()
    asked = {entry.candidate.did for entry in situation.asked}
    for candidate in situation.candidates:
        if candidate.did not in asked:
            return AskTwin(candidate.did, candidate.name, situation.goal, candidate.bullet_id)
    return Respond()


def described(action: Action) -> tuple[str, dict[str, Any]]:
    """The action's name and its input, as steps show them."""
    match action:
        case Recall(query):
            return "recall", {"query": query}
        case UseTool(name, parameters):
            return "use_tool", {"tool": name, "parameters": dict(parameters)}
        case AskTwin(did, name, question, advice):
            return "ask_twin", {"did": did, "name": name, "question": question, "advice": advice}
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


def supports(goal: str, memory: Recalled) -> bool:
    """Whether a memory is close enough to answer the goal, in meaning and in words."""
    if memory.score < MIN_LIKENESS:
        return False
    wanted = salient_words(goal)
    return not wanted or len(wanted & salient_words(memory.content)) / len(wanted) >= MIN_COVERAGE


def salient_words(text: str) -> frozenset[str]:
    """The words that carry the meaning: three letters or more, not common, a plural 's' cut off."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(
        word[:-1] if len(word) > 4 and word.endswith("s") else word for word in words if word not in _COMMON
    )
