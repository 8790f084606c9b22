"""The built-in plugins: what they work out, and what they refuse."""

import ast
import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import plugins.builtin
from plugins.builtin import calculator, clock, didcomm, hive, identity
from plugins.builtin.calculator import MAX_BITS, calculate
from plugins.errors import BadArguments, ToolFailed
from plugins.host import PluginHost
from plugins.sdk import Plugin, ToolError

NOON = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


async def _unused(*_: Any) -> Any:
    raise AssertionError("nothing is called")


ALL = (
    calculator.plugin(),
    clock.plugin(lambda: NOON),
    identity.plugin(lambda _: identity.Signed("", "", None), _unused),
    didcomm.plugin(_unused, _unused),
    hive.plugin(_unused, _unused),
)


@pytest.mark.parametrize("plugin", ALL, ids=lambda plugin: plugin.name)
def test_each_registers_and_documents_its_tools(plugin: Plugin) -> None:
    host = PluginHost()
    host.register(plugin)
    text = plugin.skills.read_text("utf-8")
    for tool in plugin.tools:
        assert f"`{tool.name}`" in text
        for parameter in tool.parameters["properties"]:
            assert f"`{parameter}`" in text


def test_built_ins_import_nothing_of_ours_but_the_sdk() -> None:
    for file in Path(plugins.builtin.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                room = name.partition(".")[0]
                assert room not in {"identity", "protocols", "storage", "node", "bootstrap"}
                assert room != "plugins" or name == "plugins.sdk", f"{file} imports {name}"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3 * (17 + 4.5) / 2", 32.25),
        ("2**10 - 1", 1023),
        ("7 // 2 % 2", 1),
        ("-3 + +5", 2),
        ("2 ** -2", 0.25),
        ("sqrt(2) ** 2", math.sqrt(2) ** 2),
        ("max(1, 5, 3) + round(2.6) + round(1.2345, 2)", 9.23),
        ("log10(1000) + floor(2.9) + ceil(0.1)", 6.0),
        ("1e3 + .5", 1000.5),
        ("cos(pi) + log(e)", 0.0),
        ("(-1) ** 99999", -1),
        ("(" * 100 + "1" + ")" * 100, 1),
    ],
)
def test_arithmetic(expression: str, value: float) -> None:
    assert calculate(expression) == pytest.approx(value)


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "9**9**9**9",
        "(2**999)**999",
        "2**999 * 2**999",
        "round(1, -1000000000)",
        "round(1, 10**9)",
        "1e308 * 10",
        "exp(1000)",
        "1 / 0",
        "0 ** -1",
        "(-8) ** 0.5",
        "sqrt(-1)",
        "max()",
        "__import__('os').system('true')",
        "().__class__",
        "lambda: 1",
        "[1 for i in range(9)]",
        "'a' * 3",
        "1if 2 else 3",
        "True",
        "1j",
        "2pi",
        "pi()",
        "sqrt",
        "max(*(1, 2))",
        "round(1.5, ndigits=1)",
        "1;2",
        "1\n2",
        "",
        "\0",
        "1" * 257,
        "1" + "0" * 255 + "*" + "1",
        "-" * 100 + "1",
        "(" * 100 + "1" + "+1)" * 50,
        "+".join(["1"] * 60),
        "1 < 2",
        "5 @ 5",
        "1 << 5",
    ],
)
def test_what_the_calculator_refuses(expression: str) -> None:
    with pytest.raises(ToolError):
        calculate(expression)


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.integers(0, 30))
def test_integers_are_exact(a: int, b: int, c: int) -> None:
    assert calculate(f"({a}) * {b} - {b} // 3 + {b} % 7 + 3 ** {c}") == a * b - b // 3 + b % 7 + 3**c


@pytest.mark.slow
@given(st.text(max_size=40) | st.text("0123456789.+-*/%() ,epilognsqrtmaxd", max_size=40))
def test_any_text_gives_a_bounded_number_or_a_tool_error(expression: str) -> None:
    try:
        value = calculate(expression)
    except ToolError:
        return
    assert (value.bit_length() <= MAX_BITS) if isinstance(value, int) else math.isfinite(value)


def test_large_integers_are_given_as_text_so_that_json_keeps_them() -> None:
    async def main() -> None:
        host = PluginHost()
        host.register(calculator.plugin())
        assert await host.execute("calculator", {"expression": "2 ** 53"}) == 2**53
        assert await host.execute("calculator", {"expression": "3 ** 200"}) == str(3**200)

    asyncio.run(main())


def test_the_clock_tells_the_time_it_was_given() -> None:
    async def main() -> None:
        host = PluginHost()
        host.register(clock.plugin(lambda: NOON))
        assert await host.execute("clock", {}) == {
            "iso": "2026-03-01T12:30:15+00:00",
            "date": "2026-03-01",
            "time": "12:30:15",
            "weekday": "Sunday",
            "timezone": "UTC",
            "utc_offset": "+00:00",
        }
        there = await host.execute("clock", {"timezone": "America/St_Johns"})
        assert (there["time"], there["utc_offset"]) == ("09:00:15", "-03:30")
        for wrong in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "", "x" * 5000, "a\0b"):
            with pytest.raises(ToolFailed):
                await host.execute("clock", {"timezone": wrong})

    asyncio.run(main())


def test_any_json_value_is_signed_and_checked_and_only_by_the_owner() -> None:
    async def verify(signed: identity.Signed) -> bool:
        if signed.did == "did:example:nobody":
            raise identity.Refused("nobody knows it")
        return signed.signature == "z1"

    def sign(artifact: Any) -> identity.Signed:
        if artifact == 2**53:
            raise identity.Refused("not exact")
        return identity.Signed("did:example:me", "z1", artifact)

    async def main() -> None:
        host = PluginHost()
        host.register(identity.plugin(sign, verify))
        assert all(info.owner_only for info in host.list())
        for artifact in ({"agreed": True}, [1, 2], "text", 7, None):
            signed = await host.execute("did_sign_artifact", {"artifact": artifact})
            assert signed == {"did": "did:example:me", "signature": "z1", "artifact": artifact}
            assert await host.execute("did_verify_artifact", signed) == {"valid": True}
            assert await host.execute("did_verify_artifact", {**signed, "signature": "z2"}) == {"valid": False}
        with pytest.raises(ToolFailed, match="not exact"):
            await host.execute("did_sign_artifact", {"artifact": 2**53})
        with pytest.raises(ToolFailed, match="nobody knows it"):
            await host.execute("did_verify_artifact", {**signed, "did": "did:example:nobody"})
        for member, value in (("did", "d" * 2049), ("signature", "z" * 97)):
            with pytest.raises(ToolFailed, match="too long"):
                await host.execute("did_verify_artifact", {**signed, member: value})

    asyncio.run(main())


def test_messages_are_sent_and_listed_and_only_by_the_owner() -> None:
    sent: list[tuple[str, str, Mapping[str, Any]]] = []
    came = [
        didcomm.Received("1", "did:example:ada", "https://example.org/note", {"text": "hi"}, "2026-03-01", True),
        didcomm.Received("2", None, "https://example.org/note", {"text": "x" * 5000}, "2026-03-01", False),
    ]

    async def send(to: str, message_type: str, body: Mapping[str, Any]) -> didcomm.Sent:
        if to == "nobody":
            raise didcomm.Refused("that is no DID")
        sent.append((to, message_type, body))
        return didcomm.Sent("7", "queued")

    async def inbox(limit: int) -> list[didcomm.Received]:
        return came[:limit]

    async def main() -> None:
        host = PluginHost()
        host.register(didcomm.plugin(send, inbox))
        assert all(info.owner_only for info in host.list())
        note = {"type": "https://example.org/note", "body": {"text": "hello"}}
        message = {"to": "did:example:ada", "text": "", **note}
        assert await host.execute("didcomm_send_message", message) == {"id": "7", "status": "queued"}
        assert sent == [("did:example:ada", "https://example.org/note", {"text": "hello"})]
        with pytest.raises(ToolFailed, match="that is no DID"):
            await host.execute("didcomm_send_message", {**message, "to": "nobody"})
        await host.execute("didcomm_send_message", {"to": "did:example:ada", "text": "hello"})
        assert sent[-1] == ("did:example:ada", didcomm.TEXT, {"content": "hello"})
        for both in ({"text": "hello"}, {"body": None}):
            with pytest.raises(ToolFailed, match="either a text, or a body"):
                await host.execute("didcomm_send_message", {**message, **both})
        for wrong in ({"body": "text"}, {"body": []}, {"to": 7}):
            with pytest.raises(BadArguments):
                await host.execute("didcomm_send_message", {**message, **wrong})
        first, second = await host.execute("didcomm_get_inbox", {})
        assert (first["from"], first["body"], first["beginning"]) == ("did:example:ada", {"text": "hi"}, None)
        assert (second["from"], second["body"], len(second["beginning"])) == (None, None, didcomm.MAX_BODY_CHARS)
        assert len(await host.execute("didcomm_get_inbox", {"limit": 1})) == 1
        for limit in (0, 51):
            with pytest.raises(ToolFailed, match="1 to 50"):
                await host.execute("didcomm_get_inbox", {"limit": limit})

    asyncio.run(main())


def test_a_full_inbox_of_the_longest_messages_fits_one_result() -> None:
    longest = didcomm.Received("i" * 256, "d" * 200, "t" * 512, {"a": "\u4e00" * 490}, "2026", True)

    async def send(to: str, message_type: str, body: Mapping[str, Any]) -> didcomm.Sent:
        raise didcomm.Refused("not here")

    async def inbox(limit: int) -> list[didcomm.Received]:
        return [longest] * limit

    async def main() -> None:
        host = PluginHost()
        host.register(didcomm.plugin(send, inbox))
        assert 1 < len(await host.execute("didcomm_get_inbox", {"limit": 50})) < 50

    asyncio.run(main())


def test_the_repository_is_pulled_and_pushed_by_the_owner_only() -> None:
    pushed: list[hive.Pushed | None] = [hive.Pushed("swarm/improvement/1-x", ["r2"]), None]

    async def pull() -> hive.Pulled:
        return hive.Pulled("c0ffee", ["r1"], ["playbook.toml: not TOML"])

    async def push() -> hive.Pushed | None:
        if not pushed:
            raise hive.Refused("nobody answers")
        return pushed.pop(0)

    async def main() -> None:
        host = PluginHost()
        host.register(hive.plugin(pull, push))
        assert {info.name for info in host.list() if info.owner_only} == {"hive_pull", "hive_push"}
        assert await host.execute("hive_pull", {}) == {
            "commit": "c0ffee",
            "revisions": ["r1"],
            "problems": ["playbook.toml: not TOML"],
        }
        assert await host.execute("hive_push", {}) == {"branch": "swarm/improvement/1-x", "revisions": ["r2"]}
        assert await host.execute("hive_push", {}) == {"branch": None, "revisions": []}
        with pytest.raises(ToolFailed, match="nobody answers"):
            await host.execute("hive_push", {})

    asyncio.run(main())
