"""The routes of providers and of the budget."""

import asyncio
from typing import Any

import pytest
from fake_twin import FakeTwin
from serving import Client, with_server

from node.inference.providers.errors import ProviderRefused

ONE: dict[str, Any] = {
    "name": "one",
    "kind": "anthropic",
    "base_url": "https://api.example.com",
    "model": "clever-1",
    "key": "sk-quetzal",
    "sees_private": True,
    "price_in": 3,
    "price_out": 15.5,
}


def test_a_provider_is_added_changed_ordered_tested_and_removed() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, added, _ = await client("POST", "/v1/providers", json=ONE)
        assert status == 200
        assert added == {
            "name": "one",
            "kind": "anthropic",
            "base_url": "https://api.example.com",
            "model": "clever-1",
            "has_key": True,
            "sees_private": True,
            "capable": True,
            "context_tokens": 32768,
            "price_in": 3.0,
            "price_out": 15.5,
            "state": "ready",
            "reason": None,
        }
        two = {"name": "two", "base_url": "http://127.0.0.1:11434/v1", "model": "absent"}
        assert (await client("POST", "/v1/providers", json=two))[1]["has_key"] is False
        assert (await client("POST", "/v1/providers", json=ONE))[1]["code"] == 40928
        status, listed, _ = await client("PUT", "/v1/providers", json={"order": ["two"]})
        assert [(one["name"], one["state"]) for one in listed["items"]] == [
            ("two", "absent"),
            ("one", "ready"),
            ("local", "ready"),
        ]
        assert listed["items"][0]["reason"] == "its key cannot be opened"
        assert (listed["items"][2]["kind"], listed["items"][2]["base_url"]) == ("llama.cpp", None)
        changed = {key: value for key, value in ONE.items() if key not in ("name", "key")} | {"model": "clever-2"}
        status, after, _ = await client("PUT", "/v1/providers/one", json=changed)
        assert (after["model"], after["has_key"]) == ("clever-2", True)
        status, tested, _ = await client("POST", "/v1/providers/one/test")
        assert (tested["ok"], tested["model"], tested["code"]) == (True, "clever-2", None)
        assert "OK" in tested["answer"]
        status, absent, _ = await client("POST", "/v1/providers/two/test")
        assert (status, absent["ok"], absent["code"]) == (200, False, 50301)
        assert "its key cannot be opened" in absent["reason"]
        assert (await client("DELETE", "/v1/providers/one"))[1] == {"name": "one"}
        for method, path in (("DELETE", "/v1/providers/one"), ("POST", "/v1/providers/one/test")):
            assert (await client(method, path))[1]["code"] == 40428
        assert (await client("PUT", "/v1/providers/one", json=changed))[1]["code"] == 40428
        assert (await client("PUT", "/v1/providers", json={"order": ["one"]}))[1]["code"] == 40428

    with_server(test)


def test_a_key_never_comes_out() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        await client("POST", "/v1/providers", json=ONE)
        changed = {key: value for key, value in ONE.items() if key != "name"}
        for method, path, body in (
            ("GET", "/v1/providers", None),
            ("PUT", "/v1/providers/one", changed),
            ("POST", "/v1/providers/one/test", None),
            ("POST", "/v1/providers", ONE),
            ("POST", "/v1/providers", {**ONE, "key": "sk-quetzal", "kind": "?"}),
        ):
            _, document, headers = await client(method, path, json=body)
            assert "quetzal" not in f"{document}{headers}"

    with_server(test)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Not A Name"},
        {"name": ""},
        {"kind": "llama"},
        {"model": ""},
        {"key": ""},
        {"context_tokens": 1},
        {"price_in": -1},
        {"price_in": 1e12},
        {"unknown": 1},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        assert (await client("POST", "/v1/providers", json={**ONE, **wrong}))[1]["code"] == 40010
        assert twin.inference.providers.rows == ()

    with_server(test)


def test_one_that_failed_says_so_while_it_rests() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        await client("POST", "/v1/providers", json=ONE)
        (slot,) = twin.inference.providers.in_order()
        twin.inference.providers.in_order = lambda: [slot]  # type: ignore[method-assign]
        twin.inference.gateway._remotes = twin.inference.providers.in_order
        assert slot.breaker is not None
        slot.trouble = ProviderRefused("it answered 401")
        slot.breaker.failed(asyncio.get_running_loop().time(), away_s=60)
        (one, _) = (await client("GET", "/v1/providers"))[1]["items"]
        assert (one["state"], one["reason"]) == ("resting", "it answered 401")

    with_server(test)


def test_the_budget_is_shown_beside_its_limits() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        status, budget, _ = await client("GET", "/v1/budget")
        assert (status, budget["state"], [scope["scope"] for scope in budget["scopes"]]) == (200, "ok", ["day", "twin"])
        assert budget["scopes"][0]["tokens"] == {"used": 500.0, "limit": 1000.0}
        assert budget["scopes"][0]["seconds"] == {"used": 1.5, "limit": None}
        assert budget["scopes"][0]["money"] == {"used": 0.02, "limit": 1.5}
        assert (budget["scopes"][1]["calls"], budget["scopes"][1]["reserved_tokens"]) == (1, 70)
        _, greedy, _ = await client("GET", "/v1/budget?session_id=greedy")
        assert (greedy["state"], greedy["scopes"][2]["scope"]) == ("throttled", "session")
        _, first, _ = await client("GET", "/v1/budget/usage?limit=1")
        _, second, _ = await client("GET", f"/v1/budget/usage?limit=1&after={first['next']}")
        assert [page["items"][0]["provider"] for page in (first, second)] == ["one", "local"]
        assert (first["items"][0]["seconds"], second["next"]) == (1.5, None)

    with_server(test)
