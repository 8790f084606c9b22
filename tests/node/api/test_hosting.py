"""The routes of pins with others."""

from typing import Any

import pytest
from fake_twin import OTHER, FakeTwin
from serving import Client, with_server

from identity.cid import Cid
from identity.multibase import CODEC_RAW

TIDE = Cid.of(CODEC_RAW, b"the tide comes in")


def test_another_twin_is_asked_and_told_that_it_is_over() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        path = f"/v1/ipfs/remote-pins/{OTHER}/{TIDE}"
        status, pin, _ = await client("PUT", path, json={"name": "tides"})
        assert (status, pin["cid"], pin["host"], pin["name"], pin["status"]) == (
            200,
            str(TIDE),
            OTHER,
            "tides",
            "asking",
        )
        status, document, _ = await client("GET", f"/v1/ipfs/remote-pins?host={OTHER}")
        assert (status, document["items"], document["next"]) == (200, [pin], None)
        assert document["hosts"] == [{"host": OTHER, "used_bytes": 0, "quota_bytes": 1000}]
        status, ended, _ = await client("DELETE", path)
        assert (status, ended) == (200, {"cid": str(TIDE), "host": OTHER})
        assert twin.remote_pins.rows == []

    with_server(test)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("DELETE", f"{OTHER}/{TIDE}", None, 404, 40447),
        ("PUT", f"me/{TIDE}", {}, 400, None),
        ("PUT", f"nobody/{TIDE}", {}, 400, None),
        ("PUT", f"{OTHER}/nothing", {}, 400, None),
        ("PUT", f"{OTHER}/{TIDE}", {"name": "a\nb"}, 400, 40010),
    ],
)
def test_what_cannot_be_meant_is_refused(method: str, path: str, body: Any, status: int, code: int | None) -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        got, problem, _ = await client(method, f"/v1/ipfs/remote-pins/{path}", json=body)
        assert (got, code or problem["code"]) == (status, problem["code"]), problem
        assert twin.remote_pins.rows == []

    with_server(test)


def test_what_is_kept_for_others() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, document, _ = await client("GET", "/v1/ipfs/hosted-pins")
        (pin,) = document["items"]
        assert (status, pin["client"], pin["status"], pin["size_bytes"]) == (200, OTHER, "pinned", 1024)
        assert (document["used_bytes"], document["quota_bytes"]) == (1024, 2048)

    with_server(test)
