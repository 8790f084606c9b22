"""The owner's list of providers: changed while the twin runs, and its keys at rest."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from identity.keys import KeyPair
from node.http.outside import Outside
from node.inference.engine import ChatRequest, ChatTurn
from node.inference.gateway import Gateway
from node.inference.providers.errors import KeyUnreadable, ProviderExists, ProviderInvalid, ProviderUnknown
from node.inference.providers.registry import MAX_PROVIDERS, Providers
from node.inference.providers.sealing import Sealer
from storage import providers
from storage.database import Database
from storage.providers import Kind, ProviderRow
from tests.node.inference.fake import ScriptedEngine
from tests.node.inference.providers.engines import TIMES, local_model
from tests.node.inference.providers.provider_server import KEY, provider_server

OWN, OTHER = KeyPair(bytes([1]) * 32), KeyPair(bytes([2]) * 32)
ROW = ProviderRow(
    name="one",
    kind="openai",
    base_url="http://127.0.0.1:1/v1",
    model="m",
    sees_private=True,
    capable=False,
    context_tokens=2048,
    price_in=0.5,
    price_out=1.5,
    sealed_key=None,
)

Test = Callable[[Providers, Database], Awaitable[None]]


def use(home: Path, test: Test, *, keys: Sequence[KeyPair] = (OWN,)) -> None:
    async def main() -> None:
        outside = Outside(allow_private=True)
        async with Database.open(home / "node.db") as database:
            found = Providers(database, sealer=Sealer(keys), outside=outside, times=TIMES)
            await found.load()
            await asyncio.wait_for(test(found, database), 60)
        await outside.close()

    asyncio.run(main())


def test_they_are_asked_in_the_owners_order_and_that_is_kept(tmp_path: Path) -> None:
    async def test(found: Providers, database: Database) -> None:
        for name in ("a", "b", "c"):
            await found.add(replace(ROW, name=name), None)
        await found.order(["c", "a"])
        assert [row.name for row in found.rows] == ["c", "a", "b"]
        await found.add(replace(ROW, name="d"), None)
        await found.remove("a")
        assert [one.name for one in found.in_order()] == ["c", "b", "d"]
        with pytest.raises(ProviderUnknown):
            await found.order(["c", "nobody"])
        with pytest.raises(ProviderUnknown):
            await found.remove("a")

    async def after(found: Providers, database: Database) -> None:
        assert [row.name for row in found.rows] == ["c", "b", "d"]
        engine = found.in_order()[0].engine()
        assert engine is not None
        assert (engine.name, engine.capable, engine.context_tokens) == ("m", False, 2048)
        assert (found.in_order()[0].price.prompt, found.in_order()[0].address) == (0.5, ("127.0.0.1", 1))

    use(tmp_path, test)
    use(tmp_path, after)


@pytest.mark.parametrize(
    "row",
    [
        *(replace(ROW, name=name) for name in ("local", "twin", "governor")),
        *(
            replace(ROW, base_url=url)
            for url in (
                "ftp://a/",
                "http://",
                "http://u:p@a/",
                "http://a/?q=1",
                "http://a/#f",
                "nonsense",
                "http://[::1",
                "http://exämple.com/v1",
                "http://a.example/v1 ",
            )
        ),
    ],
    ids=lambda row: f"{row.name} {row.base_url}",
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, row: ProviderRow) -> None:
    async def test(found: Providers, database: Database) -> None:
        with pytest.raises(ProviderInvalid):
            await found.add(row, None)
        assert found.rows == ()

    use(tmp_path, test)


def test_names_are_taken_once_and_there_is_an_end_to_them(tmp_path: Path) -> None:
    async def test(found: Providers, database: Database) -> None:
        for number in range(MAX_PROVIDERS):
            await found.add(replace(ROW, name=f"p{number}"), None)
        with pytest.raises(ProviderInvalid):
            await found.add(replace(ROW, name="more"), None)
        await found.remove("p3")
        with pytest.raises(ProviderExists):
            await found.add(replace(ROW, name="p4"), None)
        for key in ("", "two\nlines", "a b", "ü", "x" * 5000):
            with pytest.raises(ProviderInvalid):
                await found.change(replace(ROW, name="p4"), key)

    use(tmp_path, test)


def test_a_key_lies_sealed_in_the_database_and_survives_a_restart(tmp_path: Path) -> None:
    async def added(found: Providers, database: Database) -> None:
        async with provider_server(ScriptedEngine()) as server:
            await found.add(replace(ROW, base_url=f"{server.url}/v1"), KEY)
            gateway = Gateway(local_model(), remotes=found.in_order)
            answer = await gateway.complete(ChatRequest(turns=(ChatTurn("user", "hello"),)))
            assert (answer.text, answer.model) == ("hello", "m")
        assert KEY not in repr(found.rows)

    async def after(found: Providers, database: Database) -> None:
        (row,) = found.rows
        assert Sealer([OWN]).open(row.sealed_key or b"", name="one", kind="openai", base_url=row.base_url) == KEY
        await found.remove("one")

    use(tmp_path, added)
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes(), path
    use(tmp_path, after)


def test_a_key_opens_after_the_twins_key_was_replaced_and_not_for_another_twin(tmp_path: Path) -> None:
    async def test(found: Providers, database: Database) -> None:
        await found.add(ROW, KEY)

    async def replaced(found: Providers, database: Database) -> None:
        assert found.in_order()[0].engine() is not None

    async def another(found: Providers, database: Database) -> None:
        (slot,) = found.in_order()
        assert slot.engine() is None
        assert "cannot be opened" in (slot.reason() or "")
        await found.change(ROW, "anew")
        assert found.in_order()[0].engine() is not None

    third = KeyPair(bytes([3]) * 32)
    use(tmp_path, test)
    use(tmp_path, replaced, keys=(OTHER, OWN))
    use(tmp_path, replaced, keys=(OTHER,))  # it was sealed anew meanwhile
    use(tmp_path, another, keys=(third,))


def test_a_key_goes_nowhere_else_than_where_it_was_given_for(tmp_path: Path) -> None:
    async def test(found: Providers, database: Database) -> None:
        await found.add(ROW, KEY)
        await found.change(replace(ROW, model="other", base_url="http://127.0.0.1:1/v2"), None)
        assert found.rows[0].sealed_key is not None
        for moved in (
            replace(ROW, base_url="http://127.0.0.1:2/v1"),
            replace(ROW, base_url="https://127.0.0.1:1/v1"),
            replace(ROW, kind="anthropic"),
        ):
            with pytest.raises(ProviderInvalid, match="needs its key anew"):
                await found.change(moved, None)
        assert found.rows[0].model == "other"
        # Whoever can write the database gains nothing by it either.
        stolen = replace(found.rows[0], base_url="https://evil.example/v1")
        await database.write(lambda conn: providers.replace(conn, stolen))
        await found.load()
        assert found.in_order()[0].engine() is None

    use(tmp_path, test)


def test_a_change_forgets_what_was_held_against_the_provider_and_leaves_the_others(tmp_path: Path) -> None:
    async def test(found: Providers, database: Database) -> None:
        for name in ("a", "b"):
            await found.add(replace(ROW, name=name), None)
        before = {one.name: one for one in found.in_order()}
        await found.change(replace(ROW, name="a"), None)
        after = {one.name: one for one in found.in_order()}
        assert after["a"] is not before["a"]
        assert after["b"] is before["b"]

    use(tmp_path, test)


@pytest.mark.parametrize(("kind", "path"), [("openai", "/v1/"), ("anthropic", ""), ("anthropic", "/v1")])
def test_the_address_may_be_written_as_people_write_it(tmp_path: Path, kind: Kind, path: str) -> None:
    async def test(found: Providers, database: Database) -> None:
        async with provider_server(ScriptedEngine()) as server:
            await found.add(replace(ROW, kind=kind, base_url=server.url + path), KEY)
            answer = await Gateway(local_model(), remotes=found.in_order).test("one")
            assert "OK" in answer.text

    use(tmp_path, test)


def test_a_sealed_key_that_was_damaged_says_so() -> None:
    sealer = Sealer([OWN])
    sealed = sealer.seal(KEY, name="one", kind="openai", base_url=ROW.base_url)
    assert sealed != sealer.seal(KEY, name="one", kind="openai", base_url=ROW.base_url)
    for damaged in (b"", sealed[:-1], sealed[:5], bytes([sealed[0] ^ 1]) + sealed[1:]):
        with pytest.raises(KeyUnreadable):
            sealer.open(damaged, name="one", kind="openai", base_url=ROW.base_url)
    with pytest.raises(KeyUnreadable):
        sealer.open(sealed, name="two", kind="openai", base_url=ROW.base_url)
