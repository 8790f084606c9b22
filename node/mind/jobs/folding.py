"""What a job's record says: reading actions back from steps, and what each step added to the situation. Pure.

The same function folds a step that has just ended and one that ended before a crash, so that a resumed job stands
exactly where it stood. What was recalled is not in the record, for a memory may be forgotten since: it is recalled
again (executive.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from identity.did import Did
from node.mind.actions import (
    Action,
    Asked,
    AskOwner,
    AskTwin,
    BuildTool,
    Candidate,
    Changed,
    Child,
    Decompose,
    Delegate,
    Delegated,
    Denied,
    ImproveSelf,
    OwnerSaid,
    Recall,
    Respond,
    Situation,
    ToolResult,
    UseTool,
)
from protocols.task import Answer

Given = Mapping[str, Any]


def observed(situation: Situation, action: Action, output: Given) -> Situation:
    """The situation after an action that gave `output`. Recall and Respond add nothing here."""
    situation = replace(situation, steps_left=situation.steps_left - 1)
    if "denied" in output:
        return replace(situation, denied=(*situation.denied, Denied(action, str(output["denied"]))))
    error = output.get("error")
    match action:
        case UseTool():
            return replace(
                situation, tool_results=(*situation.tool_results, ToolResult(action, output.get("result"), error))
            )
        case AskTwin(candidate):
            reply = Answer.from_body(output["answer"]) if "answer" in output else None
            by = Did(output.get("by") or candidate.did)  # who answered before, where the answer is kept from then
            source = candidate if by == candidate.did else Candidate(by, by, (), 0.0)
            asked = Asked(source, reply, output.get("thread"), error, bool(output.get("reused")))
            return replace(situation, asked=(*situation.asked, asked))
        case Delegate(task):
            worker = Did(output["worker"]) if output.get("worker") else None
            done = Delegated(str(output.get("task_id", "")), task, worker, output.get("result"), error)
            return replace(situation, delegated=(*situation.delegated, done))
        case AskOwner(question):
            said = OwnerSaid(question, str(output.get("answer", "")))
            return replace(situation, answers=(*situation.answers, said))
        case Decompose():
            parts = tuple(Child(**{key: part[key] for key in _CHILD}) for part in output.get("parts", ()))
            return replace(situation, children=(*situation.children, *parts))
        case BuildTool() | ImproveSelf():
            changed = Changed(action, output.get("made"), error)
            return replace(situation, changed=(*situation.changed, changed))
        case Recall() | Respond():
            return situation


def restored(name: str, given: Given) -> Action:
    """The action of a step, from what `actions.described` made of it."""
    return _READ[name](given)


_CHILD: Final = ("job_id", "goal", "status", "answer", "degraded")


def _ask_twin(given: Given) -> AskTwin:
    topics, score = tuple(given.get("topics", ())), float(given.get("score", 0.0))
    return AskTwin(Candidate(Did(given["did"]), given["name"], topics, score, given.get("advice")), given["question"])


_READ: Final[Mapping[str, Callable[[Given], Action]]] = {
    "recall": lambda given: Recall(given["query"]),
    "use_tool": lambda given: UseTool(given["tool"], given["parameters"]),
    "ask_twin": _ask_twin,
    "delegate": lambda given: Delegate(given["task"], tuple(given["requirements"]), int(given["deadline_s"])),
    "build_tool": lambda given: BuildTool(
        given["name"], given["description"], given["parameters"], given["expression"]
    ),
    "improve_self": lambda given: ImproveSelf(given["section"], given["text"], given["why"]),
    "ask_owner": lambda given: AskOwner(given["question"]),
    "decompose": lambda given: Decompose(tuple(given["goals"]), bool(given["parallel"])),
    "respond": lambda given: Respond(),
}
