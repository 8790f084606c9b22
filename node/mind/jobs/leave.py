"""Which actions need the owner's leave, which may be repeated after a crash, and when a job goes in circles. Pure.

Nothing that a model, a tool, a file or another twin said is looked at here: only the action itself and whether such
words have come in at all. So they can never grant an action.
"""

import json
from collections.abc import Sequence
from typing import Final
from unicodedata import category

from node.mind.actions import (
    Action,
    AskOwner,
    AskTwin,
    BuildTool,
    Decompose,
    Delegate,
    ImproveSelf,
    Recall,
    Respond,
    Situation,
    UseTool,
    described,
)
from node.mind.jobs.approvals import Wanted
from node.mind.jobs.jobs import Step
from plugins.host import ToolInfo

MAX_SAME_ERROR: Final = 2
"""Tool calls that fail with the same words in one job, before it stops to try."""

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: controls, directions and joiners, what stands for nothing, and ends of lines that are none."""

_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that look like nothing."""

_NAMES: Final = {"delegate": "task_broadcast", "improve_self": "playbook_propose", "ask_twin": "didcomm_ask"}


def needs_leave(action: Action, situation: Situation) -> bool:
    """Whether the owner has to allow this very action first.

    Always: a tool that acts in the owner's name, and giving a task to the swarm, where everybody reads it. Once words
    have come in that are not the owner's: whatever acts on the world, and a question to another twin that is not the
    owner's own goal.
    """
    match action:
        case UseTool(name):
            info = _info(name, situation.tools)
            return info is None or info.owner_only or (info.effect != "none" and situation.tainted)
        case Delegate():
            return True
        case ImproveSelf():
            return situation.tainted
        case AskTwin(_, question):
            return situation.tainted and not situation.outward.endswith(question)  # but for `Ask anna`
        case Recall() | BuildTool() | AskOwner() | Decompose() | Respond():
            return False


def repeatable(action: Action, tools: Sequence[ToolInfo]) -> bool:
    """Whether taking it again does no harm where nobody knows if it happened.

    All but a tool that acts: asks and tasks carry an id that follows from the job and the step, a bullet is written in
    the transaction that ends its step, and the rest only looks or works out.
    """
    if not isinstance(action, UseTool):
        return True
    info = _info(action.name, tools)
    return info is not None and info.effect == "none"


def going_out(action: Action, tools: Sequence[ToolInfo]) -> str:
    """The words that leave this machine with an action, or may: those of tools that are not known only to look."""
    match action:
        case UseTool(name, parameters):
            info = _info(name, tools)
            return (
                "" if info is not None and info.effect == "none" else json.dumps(dict(parameters), ensure_ascii=False)
            )
        case AskTwin(_, question):
            return question
        case Delegate(task, requirements):
            return "\n".join((task, *requirements))
        case ImproveSelf(section, text, why):
            return f"{section}\n{text}\n{why}"
        case _:
            return ""


def wanted(action: Action, job_id: str) -> Wanted:
    """What an approval of this action binds."""
    if isinstance(action, UseTool):
        return Wanted(action.name, action.parameters, job_id)
    name, given = described(action)
    return Wanted(_NAMES.get(name, name), given, job_id)


def in_words(action: Action) -> str:
    """The action as the owner is asked about it: all of it, with nothing in it that shows otherwise than it is."""
    match action:
        case UseTool(name, parameters):
            words = f"Use the tool {name} with {_whole(dict(parameters))}"
        case AskTwin(twin, question):
            words = f"Ask {' '.join(twin.name.split())} ({twin.did}): {question}"
        case Delegate(task, requirements, deadline_s):
            needs = f" by whoever can do {', '.join(requirements)}," if requirements else ""
            words = f"Give this task to the swarm, where everybody can read it,{needs} for {deadline_s} s: {task}"
        case ImproveSelf(section, text, why):
            words = f"Write into the playbook, which others read, under {section}: {text} (because {why})"
        case AskOwner(question):
            words = question
        case _:
            name, given = described(action)
            words = f"{name} {_whole(given)}"
    return visible(words)


def visible(text: str) -> str:
    """The text with every character spelled out that cannot be seen, or changes how others are seen."""
    return "".join(
        char if char == "\n" or (category(char) not in _UNSEEN and char not in _BLANK) else f"\\u{{{ord(char):x}}}"
        for char in text
    )


def circling(action: Action, steps: Sequence[Step]) -> str | None:
    """Why this action would lead nowhere, after these steps; None if it may lead somewhere."""
    if isinstance(action, Respond):
        return None
    name, given = described(action)
    if any(step.action == name and step.input == given for step in steps):
        return f"it would do the same again: {name}"
    if isinstance(action, UseTool):
        errors = [str(step.output["error"]) for step in steps if step.output and step.output.get("error")]
        if errors and errors.count(errors[-1]) >= MAX_SAME_ERROR:
            return f"the same error came {MAX_SAME_ERROR} times: {errors[-1][:200]}"
    return None


def _info(name: str, tools: Sequence[ToolInfo]) -> ToolInfo | None:
    return next((info for info in tools if info.name == name), None)


def _whole(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
