"""The typed actions of the executive, what is known while a goal is worked on, and the decision by rule.

`decide` is pure and works without a model: recall first, then a tool whose pattern fits, then other twins in the
order of how well their topics fit, then the answer. What it cannot do is stated by the answer's `degraded` flag, not
hidden.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from identity.did import Did
from node.hive.retrieval import Fitting
from node.inference.engine import ChatTurn
from node.memory.memory import Recalled
from node.mind.deciding.asking import looked_for
from node.mind.deciding.patterns import is_sum
from node.mind.relevance import supports
from plugins.host import ToolInfo
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
class Delegate:
    """Give a task to the swarm, where everybody can read it, and wait for the result."""

    task: str
    requirements: tuple[str, ...] = ()
    deadline_s: int = 600


@dataclass(frozen=True, slots=True)
class BuildTool:
    """Make a tool of a formula in the calculator's language. `parameters` names each variable and says what it is."""

    name: str
    description: str
    parameters: Mapping[str, str]
    expression: str


@dataclass(frozen=True, slots=True)
class ImproveSelf:
    """Write a bullet into the twin's own playbook."""

    section: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class AskOwner:
    """Ask the owner, and wait for the answer."""

    question: str


@dataclass(frozen=True, slots=True)
class Decompose:
    """Work on parts of the goal, each a job of its own: at the same time, or one after the other."""

    goals: tuple[str, ...]
    parallel: bool


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer from what is at hand, which may be nothing."""


Action = Recall | UseTool | AskTwin | Delegate | BuildTool | ImproveSelf | AskOwner | Decompose | Respond


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A call and what it gave: `result` is JSON, or `error` says why there is none."""

    call: UseTool
    result: Any
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A twin that was asked; `answer` is None if none came, and `error` says why. `reused`: it had answered before."""

    candidate: Candidate
    answer: Answer | None
    thread: str | None = None
    error: str | None = None
    reused: bool = False

    @property
    def helped(self) -> bool:
        """Whether there is an answer that can be used."""
        return self.answer is not None and bool(self.answer.answer) and self.answer.confidence >= MIN_CONFIDENCE


@dataclass(frozen=True, slots=True)
class Delegated:
    """A task that was given to the swarm: its result, or why there is none."""

    task_id: str
    task: str
    worker: Did | None
    result: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A part of the goal, and how its own job ended."""

    job_id: str
    goal: str
    status: str
    answer: str
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class OwnerSaid:
    """What the owner answered to a question of the job."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Denied:
    """An action that the owner did not allow, or did not decide on in time."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A tool that was built or a bullet that was written for this goal: what it is called, or why it is not there."""

    what: BuildTool | ImproveSelf
    made: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the decision depends on, folded from the job's steps. `recalled` is None before the first recall.

    `redacted` is the goal as it may leave this machine; None if that is the goal itself. `taught` are the playbook
    bullets that answer the goal themselves, where no memory does; `rules` is what playbook and own lessons say of such
    goals, which may hold what is private. `turns` is the conversation so far, oldest first;
    `before` are the parts that came before this one, where it is a part of a goal itself, and `heard_before` is whether
    words of others had come in for that goal.
    `looping` says why the work stands still, once it does.
    """

    goal: str
    steps_left: int
    redacted: str | None = None
    depth: int = 0
    turns: Sequence[ChatTurn] = ()
    tools: Sequence[ToolInfo] = ()
    recalled: Sequence[Recalled] | None = None
    taught: Sequence[Fitting] = ()
    rules: Sequence[str] = ()
    tool_results: Sequence[ToolResult] = ()
    candidates: Sequence[Candidate] = ()
    asked: Sequence[Asked] = ()
    delegated: Sequence[Delegated] = ()
    children: Sequence[Child] = ()
    before: Sequence[Child] = ()
    heard_before: bool = False
    answers: Sequence[OwnerSaid] = ()
    changed: Sequence[Changed] = ()
    denied: Sequence[Denied] = ()
    looping: str | None = None

    @property
    def outward(self) -> str:
        """The goal as other twins may read it."""
        return self.goal if self.redacted is None else self.redacted

    @property
    def support(self) -> tuple[Recalled, ...]:
        """The recalled memories that can answer the goal, with those that correct them."""
        answering = {memory.id: memory for memory in self.recalled or () if supports(self.goal, memory)}
        corrected = {other for memory in answering.values() if memory.outdated for other in memory.contradicts}
        return tuple(one for one in self.recalled or () if one.id in answering or one.id in corrected)

    @property
    def helper(self) -> Asked | None:
        """The twin whose answer is used."""
        return next((asked for asked in self.asked if asked.helped), None)

    @property
    def tool_names(self) -> frozenset[str]:
        """The tools that a goal may use."""
        return frozenset(info.name for info in self.tools)

    @property
    def tainted(self) -> bool:
        """Whether words have come in that are not the owner's: from memory, tools, other twins or parts of the goal.

        Such words may have been written to make this twin act: from then on what acts needs the owner's leave.
        """
        heard = (self.recalled, self.taught, self.tool_results, self.asked, self.delegated, self.children, self.before)
        return self.heard_before or any(heard)


def decide(situation: Situation) -> Action:
    """The next action. It ends: each action but the answer can be taken only so often, and steps run out."""
    if situation.steps_left <= 1 or situation.looping or situation.denied or situation.children:
        return Respond()
    if situation.recalled is None:
        return Recall(looked_for(situation.goal))
    tool = tool_for(situation.goal, situation.tool_names)
    if tool is not None and all(result.call.name != tool.name for result in situation.tool_results):
        return tool
    if situation.tool_results or situation.support or situation.taught or situation.helper or situation.delegated:
        return Respond()
    asked = {entry.candidate.did for entry in situation.asked}
    for candidate in situation.candidates:
        if candidate.did not in asked:
            return AskTwin(candidate, situation.outward)
    return Respond()


def described(action: Action) -> tuple[str, dict[str, Any]]:
    """The action's name and its input, as steps show and keep them: `folding.restored` reads them back."""
    match action:
        case Recall(query):
            return "recall", {"query": query}
        case UseTool(name, parameters):
            return "use_tool", {"tool": name, "parameters": dict(parameters)}
        case AskTwin(twin, question):
            about = {"topics": list(twin.topics), "score": twin.score, "advice": twin.bullet_id}
            return "ask_twin", {"did": twin.did, "name": twin.name, "question": question, **about}
        case Delegate(task, requirements, deadline_s):
            return "delegate", {"task": task, "requirements": list(requirements), "deadline_s": deadline_s}
        case BuildTool(name, description, parameters, expression):
            formula = {"parameters": dict(parameters), "expression": expression}
            return "build_tool", {"name": name, "description": description, **formula}
        case ImproveSelf(section, text, why):
            return "improve_self", {"section": section, "text": text, "why": why}
        case AskOwner(question):
            return "ask_owner", {"question": question}
        case Decompose(goals, parallel):
            return "decompose", {"goals": list(goals), "parallel": parallel}
        case Respond():
            return "respond", {}
        case _:
            assert_never(action)


def tool_for(goal: str, tools: Collection[str]) -> UseTool | None:
    """The built-in tool whose pattern stands in the goal, with its parameters."""
    found = (match[0].strip().replace("^", "**") for match in _ARITHMETIC.finditer(goal))
    expression = next(filter(is_sum, found), None)
    if expression is not None and "calculator" in tools:
        return UseTool("calculator", {"expression": expression})
    if _TIME.search(goal) and "clock" in tools:
        return UseTool("clock", {})
    return None
