"""The built-in calculator: arithmetic from text, without running code.

The expression is parsed and only the listed nodes are evaluated. Length, depth and the size of every intermediate
integer are bounded, so no expression takes noticeable time or memory.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
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

_ALLOWED: Final = re.compile(r"[0-9A-Za-z_.+\-*/%(), ]*")
_WORDS: Final = frozenset(name.rstrip("0123456789") for name in (*_FUNCTIONS, *_CONSTANTS)) | {"E"}
"""Runs of letters that may stand in an expression; 'e' and 'E' also stand in numbers such as 1e5."""

RESERVED: Final = frozenset((*_FUNCTIONS, *_CONSTANTS))
"""Names that mean something here: no variable has one of them."""

_REFUSED: Final = "only numbers, + - * / // % **, parentheses, pi, e and " + ", ".join(_FUNCTIONS) + " are allowed"


@tool(description="Works out an arithmetic expression, such as '3 * (17 + 4.5) / 2'.", effect="none")
async def calculator(
    expression: Annotated[str, "numbers, + - * / // % **, parentheses, sqrt() and the like"],
) -> Number | str:
    return exactly(calculate(expression))


def plugin() -> Plugin:
    """The plugin; it needs nothing of the world."""
    return Plugin(name="calculator", version="1.0.0", tools=(calculator,), skills=Path(__file__).with_name("SKILLS.md"))


def exactly(value: Number) -> Number | str:
    """The value as JSON readers take it: an integer that they would round, as text."""
    return str(value) if isinstance(value, int) and abs(value) > MAX_EXACT else value


def calculate(expression: str, variables: Mapping[str, Number] = MappingProxyType({})) -> Number:
    """The value of an arithmetic expression. Raises ToolError, saying what is wrong with it."""
    parsed = _parsed(expression, variables)
    try:
        return _value(parsed, variables, MAX_DEPTH)
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except (OverflowError, ValueError, TypeError) as error:
        raise ToolError(f"it has no result: {error}") from None


def names_in(expression: str, variables: Collection[str]) -> frozenset[str]:
    """The variables that an expression uses. Nothing is worked out; raises ToolError for what never could be."""
    return _names(_parsed(expression, variables), variables, MAX_DEPTH)


def _names(node: ast.expr, variables: Collection[str], depth: int) -> frozenset[str]:
    if depth == 0:
        raise ToolError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return frozenset()
        case ast.Name(id=name) if name in variables or name in _CONSTANTS:
            return frozenset({name}).intersection(variables)
        case ast.Name(id=name):
            raise ToolError(f"nothing is called {name} here")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return _names(operand, variables, depth - 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY or isinstance(op, ast.Pow):
            return _names(left, variables, depth - 1) | _names(right, variables, depth - 1)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return frozenset().union(*(_names(argument, variables, depth - 1) for argument in arguments))
        case _:
            raise ToolError(_REFUSED)


def _parsed(expression: str, variables: Collection[str]) -> ast.expr:
    if len(expression) > MAX_CHARS:
        raise ToolError(f"the expression has {len(expression)} characters; {MAX_CHARS} are allowed")
    words = _WORDS.union(*(re.findall("[A-Za-z]+", name) for name in variables))
    if not _ALLOWED.fullmatch(expression) or not words.issuperset(re.findall("[A-Za-z]+", expression)):
        raise ToolError(_REFUSED)
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ToolError("this is not an arithmetic expression") from None


def _value(node: ast.expr, variables: Mapping[str, Number], depth: int) -> Number:
    if depth == 0:
        raise ToolError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(id=name) if name in variables:
            return _bounded(variables[name])
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, variables, depth - 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, variables, depth - 1)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left, variables, depth - 1), _value(right, variables, depth - 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            one, other = _value(left, variables, depth - 1), _value(right, variables, depth - 1)
            return _bounded(_BINARY[type(op)](one, other))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*(_value(argument, variables, depth - 1) for argument in arguments)))
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
