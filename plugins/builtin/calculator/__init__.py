"""The built-in calculator: arithmetic from text, without running code.

The expression is parsed and only the listed nodes are evaluated. Length, depth and the size of every intermediate
integer are bounded, so no expression takes noticeable time or memory.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

from plugins.sdk import Plugin, ToolError, tool

MAX_CHARS: Final = 256
"""Also bounds the parser: Python's own stack is safe at this length."""

MAX_DEPTH: Final = 32
MAX_BITS: Final = 1000
"""Of every integer, results in between included: 300 digits are more than a person reads."""

MAX_EXACT: Final = 2**53
"""Integers from here on are given as text: JSON readers round them."""

Number = int | float


def _round(value: Number, digits: Number = 0) -> Number:
    """Like round(), but round(1, -10**9), which would compute 10**10**9, is refused."""
    if not isinstance(digits, int) or abs(digits) > 15:
        raise ValueError("round() takes -15 to 15 digits")
    return round(value, digits) if digits else round(value)


_BINARY: Final[Mapping[type[ast.operator], Callable[[Number, Number], Number]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: Final[Mapping[str, Callable[..., Number]]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "max": max,
    "min": min,
    "round": _round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_CONSTANTS: Final[Mapping[str, float]] = {"pi": math.pi, "e": math.e}

_ALLOWED: Final = re.compile(r"[0-9A-Za-z.+\-*/%(), ]*")
_WORDS: Final = frozenset(name.rstrip("0123456789") for name in (*_FUNCTIONS, *_CONSTANTS)) | {"E"}
"""Runs of letters that may stand in an expression; 'e' and 'E' also stand in numbers such as 1e5."""

_REFUSED: Final = "only numbers, + - * / // % **, parentheses, pi, e and " + ", ".join(_FUNCTIONS) + " are allowed"


@tool(description="Works out an arithmetic expression, such as '3 * (17 + 4.5) / 2'.")
async def calculator(
    expression: Annotated[str, "numbers, + - * / // % **, parentheses, sqrt() and the like"],
) -> Number | str:
    value = calculate(expression)
    return str(value) if isinstance(value, int) and abs(value) > MAX_EXACT else value


def plugin() -> Plugin:
    """The plugin; it needs nothing of the world."""
    return Plugin(name="calculator", version="1.0.0", tools=(calculator,), skills=Path(__file__).with_name("SKILLS.md"))


def calculate(expression: str) -> Number:
    """The value of an arithmetic expression. Raises ToolError, saying what is wrong with it."""
    if len(expression) > MAX_CHARS:
        raise ToolError(f"the expression has {len(expression)} characters; {MAX_CHARS} are allowed")
    if not _ALLOWED.fullmatch(expression) or not _WORDS.issuperset(re.findall("[A-Za-z]+", expression)):
        raise ToolError(_REFUSED)
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ToolError("this is not an arithmetic expression") from None
    try:
        return _value(tree.body, MAX_DEPTH)
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except (OverflowError, ValueError, TypeError) as error:
        raise ToolError(f"it has no result: {error}") from None


def _value(node: ast.expr, depth: int) -> Number:
    if depth == 0:
        raise ToolError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, depth - 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, depth - 1)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left, depth - 1), _value(right, depth - 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_value(left, depth - 1), _value(right, depth - 1)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*(_value(argument, depth - 1) for argument in arguments)))
        case _:
            raise ToolError(_REFUSED)


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and (abs(base).bit_length() - 1) * exponent > MAX_BITS:
        raise ToolError(f"the power would have more than {MAX_BITS} bits")
    result = base**exponent
    if isinstance(result, complex):
        raise ToolError("the result is not a real number")
    return _bounded(result)


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ToolError(f"a number has more than {MAX_BITS} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolError("a number is too large")
    return value
