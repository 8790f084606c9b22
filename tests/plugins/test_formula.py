import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins import formula
from plugins.builtin.calculator import calculate, names_in
from plugins.errors import BadArguments, ToolFailed
from plugins.host import PluginHost
from plugins.sdk import ToolError


def host_of(expression: str, *names: str) -> PluginHost:
    host = PluginHost()
    host.register(formula.plugin("made", "says", dict.fromkeys(names, "a number"), expression), kind="built")
    return host


def test_it_works_out_its_formula_from_numbers_by_name() -> None:
    host = host_of("round(weight / height ** 2, 1)", "weight", "height")
    assert asyncio.run(host.execute("made", {"weight": 81, "height": 1.8})) == 25.0
    with pytest.raises(BadArguments):
        asyncio.run(host.execute("made", {"weight": 81}))
    with pytest.raises(ToolFailed, match="division by zero"):
        asyncio.run(host.execute("made", {"weight": 81, "height": 0}))
    with pytest.raises(ToolFailed, match="bits"):
        asyncio.run(host_of("x ** 40", "x").execute("made", {"x": 2**60}))


def test_an_integer_that_readers_would_round_is_text() -> None:
    assert asyncio.run(host_of("x * x", "x").execute("made", {"x": 2**40})) == str(2**80)


@given(st.text(alphabet="xy12+-*/%(). ,sqrtEe_", max_size=40))
def test_what_is_taken_for_a_formula_is_worked_out_or_has_no_value(expression: str) -> None:
    variables = {"x": 2, "y": 3.5}
    try:
        used = names_in(expression, variables)
    except ToolError:
        with pytest.raises(ToolError):
            calculate(expression, variables)
        return
    assert used <= set(variables)
    with contextlib.suppress(ToolError):  # a division by zero, or too large
        assert isinstance(calculate(expression, variables), int | float)
