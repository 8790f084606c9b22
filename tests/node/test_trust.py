import asyncio
from dataclasses import replace
from pathlib import Path

from node.trust import TrustList
from storage.trust import Trust
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_did, open_node

ANNA, BERT = new_did(), new_did()


def test_at_first_only_the_twin_itself_is_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            assert node.trust.allows(node.did)
            assert not node.trust.allows(ANNA)
            assert not node.trust.blocks(ANNA)

    asyncio.run(main())


def test_who_is_blocked_is_not_allowed_also_if_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            await node.trust.put(Trust(frozenset({ANNA, BERT}), frozenset({BERT}), 1.0, auto_adopt=True))
            assert node.trust.allows(ANNA)
            assert not node.trust.allows(BERT)
            assert node.trust.blocks(BERT)

    asyncio.run(main())


def test_it_is_on_disk_before_the_watchers_hear_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            seen: list[Trust] = []

            async def watch(trust: Trust) -> None:
                reread = await TrustList.load(node.database, node.did)
                assert reread.current == trust == node.trust.current
                seen.append(trust)

            node.trust.on_change(watch)
            wanted = replace(await node.trust.get(), allow=frozenset({ANNA}))
            await node.trust.put(wanted)
            assert seen == [wanted]

    asyncio.run(main())


def test_a_change_that_changes_nothing_keeps_no_watcher_from_hearing_of_one_that_did(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            seen: list[Trust] = []

            async def look_again(trust: Trust) -> None:
                await node.trust.change(lambda _, present: present)

            async def watch(trust: Trust) -> None:
                seen.append(trust)

            node.trust.on_change(look_again)
            node.trust.on_change(watch)
            wanted = replace(await node.trust.get(), allow=frozenset({ANNA}))
            await node.trust.put(wanted)
            assert seen == [wanted]

    asyncio.run(main())
