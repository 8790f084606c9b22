"""Tools made of a formula: numbers in by name, a number out, in the calculator's language.

What a formula can do is what the calculator can: no code is run, and its time and memory are bounded.
"""

import keyword
import re
from collections.abc import Mapping
from typing import Any, Final

from plugins.builtin import calculator
from plugins.builtin.calculator import RESERVED, calculate, exactly, names_in
from plugins.sdk import Plugin, Tool, ToolError

MAX_PARAMETERS: Final = 8
MAX_TEXT_CHARS: Final = 300
"""Of the description of a formula or of a parameter: listings and prompts show it."""

_PARAMETER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_VERSION: Final = "1.0.0"


def plugin(name: str, description: str, parameters: Mapping[str, str], expression: str) -> Plugin:
    """A plugin with the one tool `name`. `parameters` says of each variable what it is.

    Raises ToolError for a formula that could never be worked out: the text says what is wrong with it.
    """
    check(description, parameters, expression)

    async def run(given: Mapping[str, Any]) -> Any:
        return exactly(calculate(expression, given))

    schema = {
        "type": "object",
        "properties": {one: {"type": "number", "description": about} for one, about in parameters.items()},
        "required": list(parameters),
        "additionalProperties": False,
    }
    tool = Tool(name, description, schema, run, effect="none")
    return Plugin(name=plugin_name(name), version=_VERSION, tools=(tool,), skills=calculator.plugin().skills)


def plugin_name(name: str) -> str:
    """What the plugin of such a tool is called."""
    return f"built-{name}"


def check(description: str, parameters: Mapping[str, str], expression: str) -> None:
    """Raises ToolError, saying what is wrong, for what can be no formula."""
    if not 1 <= len(parameters) <= MAX_PARAMETERS:
        raise ToolError(f"a formula has 1 to {MAX_PARAMETERS} parameters; this one has {len(parameters)}")
    for name in parameters:
        if not _PARAMETER.fullmatch(name) or name in RESERVED or keyword.iskeyword(name):
            raise ToolError(f"{name[:40]!r} cannot be the name of a parameter")
    if any(len(text) > MAX_TEXT_CHARS for text in (description, *parameters.values())):
        raise ToolError(f"a description has at most {MAX_TEXT_CHARS} characters")
    unused = sorted(set(parameters) - names_in(expression, parameters))
    if unused:
        raise ToolError(f"the formula does not use {unused[0]}")
