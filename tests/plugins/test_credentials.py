"""The tools of credentials over functions of the test's own."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from plugins.builtin import credentials
from plugins.builtin.credentials import Refused
from plugins.errors import BadArguments, ToolFailed
from plugins.host import PluginHost


def host() -> tuple[PluginHost, list[Any]]:
    calls: list[Any] = []

    async def issue(subject: str, score: float | None) -> Mapping[str, Any]:
        calls.append((subject, score))
        if subject == "nobody":
            raise Refused("not a DID")
        return {"id": "urn:x:1"}

    async def verify(value: Mapping[str, Any] | str) -> Mapping[str, Any]:
        calls.append(value)
        return {"valid": True, "checks": [], "errors": []}

    made = PluginHost()
    made.register(credentials.plugin(issue, verify))
    return made, calls


def call(name: str, **parameters: Any) -> Any:
    tools, calls = host()
    return asyncio.run(tools.execute(name, parameters)), calls


def test_issuing() -> None:
    assert call("vc_issue_reputation", subject="did:key:a") == ({"id": "urn:x:1"}, [("did:key:a", None)])
    assert call("vc_issue_reputation", subject="did:key:a", score=1)[1] == [("did:key:a", 1.0)]
    for parameters in ({"subject": "did:key:a", "score": 1.5}, {"subject": "nobody"}):
        with pytest.raises(ToolFailed):
            call("vc_issue_reputation", **parameters)
    with pytest.raises(BadArguments):
        call("vc_issue_reputation")


def test_verifying() -> None:
    assert call("vc_verify", credential={"id": "x"})[1] == [{"id": "x"}]
    assert call("vc_verify", credential="a.b.c")[1] == ["a.b.c"]
    with pytest.raises(ToolFailed):
        call("vc_verify", credential=5)


def test_both_are_for_the_owner_alone() -> None:
    assert all(info.owner_only for info in host()[0].list())


def test_they_are_documented() -> None:
    tools, _ = host()
    (plugin,) = tools.plugins()
    text = plugin.skills.read_text("utf-8")
    for tool in plugin.tools:
        assert f"`{tool.name}`" in text
        for parameter in tool.parameters["properties"]:
            assert f"`{parameter}`" in text
