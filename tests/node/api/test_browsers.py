"""A web page that runs in the owner's browser can ask the twin for nothing."""

from fake_twin import FakeTwin
from serving import Client, with_server


def test_no_page_of_another_origin_may_read_an_answer() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        async with client.session.options(client.url + "/v1/interact", headers=asked) as preflight:
            assert preflight.status == 401
            answers = [dict(preflight.headers)]
        for path in ("/v1/id", "/live"):
            status, _document, headers = await client("GET", path, headers={"Origin": "https://evil.example"})
            assert status == 200
            answers.append(headers)
        assert not any(name.lower().startswith("access-control") for headers in answers for name in headers)

    with_server(test)
