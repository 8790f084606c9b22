"""What a goal asks of the twin itself in so many words: to learn a rule, build a formula, give the swarm a task.

Only the owner's own goal is read here, never what came in from memories, tools or other twins: these actions are wished
for, not concluded. Pure.
"""

import re
from typing import Final

from node.mind.actions import BuildTool, Delegate, ImproveSelf

MAX_WISH_CHARS: Final = 2_000
"""A longer goal is no such wish, and patterns are tried on this much only."""

MAX_RULE_CHARS: Final = 400
ASKED_FOR: Final = "asked for in so many words"
"""Why: it stands in the playbook beside the rule, where its meaning is held against the red lines as well. Words about
the owner are alike to several of those."""

LEARNED: Final = "rules"
"""The section of the playbook that such a rule goes to."""

_RULE: Final = re.compile(
    r"\s*(?:please\s+)?(?:from now on|in future|in the future)\b[\s,:]*(?P<always>.+)"
    r"|\s*(?:please\s+)?(?:add|write|put)\s+(?:a|the|this)\s+(?:rule|lesson)\s+(?:in)?to\s+(?:your|the)\s+playbook\s*:\s*"
    r"(?P<named>.+)",
    re.IGNORECASE | re.DOTALL,
)
_SWARM: Final = re.compile(
    r"\s*(?:please\s+)?(?:"
    r"(?:ask|have|let|get)\s+the\s+swarm\s+(?:to\s+|for\s+)?"
    r"|(?:broadcast|delegate|give)\s+(?:this\s+|a\s+task\s+)?to\s+the\s+swarm\s*[:,]?\s*"
    r"|delegate\s*:\s*)(?P<task>.+)",
    re.IGNORECASE | re.DOTALL,
)
_FORMULA: Final = re.compile(
    r"\s*(?:please\s+)?(?:make|build|create|define)\s+(?:me\s+)?(?:a|the)\s+(?:tool|formula)\s+(?:called\s+|named\s+)?"
    r"(?P<name>[\w-]{1,48})\s*\((?P<parameters>[\w\s,]{0,300})\)\s*(?:=|:|that gives)\s*(?P<expression>[^=\n]{1,300})",
    re.IGNORECASE,
)
_A_TOOL: Final = re.compile(r"\s*(?:please\s+)?(?:make|build|create)\s+(?:me\s+)?a\s+(?:tool|formula)\b", re.IGNORECASE)


def rule_of(goal: str) -> ImproveSelf | None:
    """The rule that the goal tells the twin to follow from now on."""
    found = _RULE.fullmatch(goal) if len(goal) <= MAX_WISH_CHARS else None
    text = " ".join((found["always"] or found["named"]).split()) if found else ""
    if not 0 < len(text) <= MAX_RULE_CHARS:
        return None
    return ImproveSelf(LEARNED, text[0].upper() + text[1:], ASKED_FOR)


def task_of(goal: str) -> Delegate | None:
    """The task that the goal gives to the swarm."""
    found = _SWARM.fullmatch(goal) if len(goal) <= MAX_WISH_CHARS else None
    return Delegate(found["task"].strip()) if found and found["task"].strip() else None


def formula_of(goal: str) -> BuildTool | None:
    """The tool whose formula the goal spells out: `build a tool area(width, height) = width * height`."""
    found = _FORMULA.fullmatch(goal.rstrip(" .")) if len(goal) <= MAX_WISH_CHARS else None
    if found is None:
        return None
    names = [name.strip() for name in found["parameters"].split(",") if name.strip()]
    expression = found["expression"].strip().replace("^", "**")
    about = f"Works out {found['name']} by the formula {expression}."
    return BuildTool(found["name"], about, {name: name.replace("_", " ") for name in names}, expression)


def wants_tool(goal: str) -> bool:
    """Whether the goal asks for a new tool, however it says what the tool is to do."""
    return _A_TOOL.match(goal[:MAX_WISH_CHARS]) is not None
