"""The mood and the kill switch over HTTP."""

from fake_twin import NOW, FakeTwin
from serving import Client, with_server


def test_the_mood_is_read_and_set() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        assert (await client("GET", "/v1/emotion"))[:2] == (200, {"mood": "neutral", "activation_level": 0.2})
        said = {"mood": "curious", "activation_level": 0.8}
        assert (await client("PUT", "/v1/emotion", json=said))[:2] == (200, said)
        assert (await client("GET", "/v1/emotion"))[1] == said
        for wrong in ({"mood": "curious", "activation_level": 1.2}, {"mood": "A\nB", "activation_level": 0.5}, {}):
            assert (await client("PUT", "/v1/emotion", json=wrong))[0] in (400, 422)
        assert (await client("GET", "/v1/emotion"))[1] == said

    with_server(test)


def test_the_fleet_is_stopped_and_goes_on() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        assert (await client("GET", "/v1/fleet"))[1] == {"stopped": False, "stops": [], "owners": [twin.did]}
        status, document, _ = await client("POST", "/v1/fleet", json={"action": "stop", "reason": "smoke"})
        assert (status, document["stopped"]) == (200, True)
        assert document["stops"] == [{"by": twin.did, "reason": "smoke", "since": NOW}]
        assert (await client("POST", "/v1/fleet", json={"action": "resume"}))[1]["stopped"] is False
        assert (await client("POST", "/v1/fleet", json={"action": "explode"}))[0] in (400, 422)
        assert (await client("POST", "/v1/fleet", json={"action": "stop", "reason": "x" * 257}))[0] in (400, 422)

    with_server(test)
