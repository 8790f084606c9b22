"""Walks through a DAG that is here, depth first, for CAR files: along a path, then as much as the scope asks for.

Blocks come out in the order in which whoever verifies them needs them (`order=dfs`): a node before what it names. The
walk holds the links that it has still to follow, and one block.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB, CODEC_RAW
from node.http.gateway_query import EntityBytes, Refusal, Scope
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.ipld.errors import NoSuchEntry, UnknownCodec
from protocols.ipld.links import repeated_links_of
from protocols.unixfs.folders import PathWalk
from protocols.unixfs.nodes import FileNode, Node, ShardNode, node_of
from protocols.unixfs.reading import children_in_range

GetBlock = Callable[[Cid], Awaitable[bytes | None]]
"""A block that is here, None if it is not."""

Block = tuple[Cid, bytes]

T = TypeVar("T")

_QUICK_BYTES: Final = 16 * 1024
"""A block of this size is read in some milliseconds: a node of a usual file has 10 KB, a shard of 256 names 15."""

_ASIDE: Final = ThreadPoolExecutor(1, thread_name_prefix="gateway")


class NotWhole(Exception):
    """The answer cannot go on: a block is not here, or is not what it should be, or there is too much of it."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a path leads, and the blocks on the way, the root first, without that at its end."""

    passed: tuple[Cid, ...]
    end: Cid
    end_block: bytes


async def follow(root: Cid, names: Sequence[str], get: GetBlock) -> Way:
    """Follow a path. Raises Refusal if it leads nowhere, or a block on it, its end included, is not here."""
    walk, passed = PathWalk(root, names), list[Cid]()
    while (cid := walk.wanted) is not None:
        block = await get(cid)
        if block is None:
            raise Refusal(404, f"{cid} is not here, and this gateway fetches nothing.")
        try:
            await _aside(cid, block, partial(walk.give, block))
        except NoSuchEntry as error:
            raise Refusal(404, f"The path leads nowhere: {error}") from error
        except UnknownCodec as error:
            raise Refusal(400, f"Paths lead through folders only: {error}") from error
        except RemoteProtocolError as error:
            raise Refusal(404, f"The path cannot be followed: {error}") from error
        passed.append(cid)
    end_block = await get(walk.cid)
    if end_block is None:
        raise Refusal(404, f"{walk.cid} is not here, and this gateway fetches nothing.")
    return Way(tuple(passed), walk.cid, end_block)


async def range_of(way: Way, wanted: EntityBytes) -> tuple[int, int] | None:
    """The range of the file at a path's end; None if that is no file. Raises Refusal if it is beyond the file."""
    node = await _file_at(way.end, way.end_block)
    if node is None:
        return None
    start, stop = wanted.within(node.size_bytes)
    if start >= node.size_bytes > 0:
        raise Refusal(400, f"The file has {node.size_bytes} bytes: entity-bytes begins behind its end.")
    return start, stop


async def blocks_in(
    way: Way, scope: Scope, part: tuple[int, int] | None, get: GetBlock, *, dups: bool
) -> AsyncIterator[Block]:
    """The blocks of an answer. `part` is the range of a file that is asked for. Raises NotWhole."""
    seen: set[Cid] = set()
    count = 0
    async for cid, block in _walk(way, scope, part, get, None if dups else seen):
        count += 1
        if count > limits.MAX_GATEWAY_BLOCKS:
            raise NotWhole(f"more than {limits.MAX_GATEWAY_BLOCKS} blocks")
        if not dups:
            if cid in seen:
                continue
            seen.add(cid)
        yield cid, block


async def _walk(
    way: Way, scope: Scope, part: tuple[int, int] | None, get: GetBlock, seen: set[Cid] | None
) -> AsyncIterator[Block]:
    for cid in way.passed:
        yield cid, await _here(cid, get)
    yield way.end, way.end_block
    if scope == "all":
        below = _all_below(way, get, seen)
    elif scope == "entity":
        below = _entity_below(way, part, get, once=seen is not None)
    else:
        return
    async for found in below:
        yield found


async def _all_below(way: Way, get: GetBlock, seen: set[Cid] | None) -> AsyncIterator[Block]:
    """Everything under the end of the path. What is in `seen` is not followed again."""
    ahead = list(reversed(await _links(way.end, way.end_block)))
    while ahead:
        cid = ahead.pop()
        if seen is not None and cid in seen:
            continue
        block = await _here(cid, get)
        yield cid, block
        ahead.extend(reversed(await _links(cid, block)))
        if len(ahead) > limits.MAX_GATEWAY_AHEAD:
            raise NotWhole("too many links wait to be followed")


async def _entity_below(way: Way, part: tuple[int, int] | None, get: GetBlock, *, once: bool) -> AsyncIterator[Block]:
    """The rest of a file, or of a sharded folder without what its entries name; nothing under anything else."""
    if way.end.codec != CODEC_DAG_PB:
        return
    node = await _node(way.end, way.end_block)
    if isinstance(node, FileNode):
        start, stop = part or (0, node.size_bytes)
        async for found in _file_below(node, start, stop, get, once=once):
            yield found
    elif isinstance(node, ShardNode):
        async for found in _shards_below(node, get):
            yield found


async def _file_below(node: FileNode, start: int, stop: int, get: GetBlock, *, once: bool) -> AsyncIterator[Block]:
    """The parts of a file with bytes of the range. With `once` a part that was gone through as a whole is not again."""
    ahead = [(part, 1) for part in children_in_range(node, start, stop)][::-1]
    gone_through: set[Cid] = set()
    while ahead:
        part, depth = ahead.pop()
        is_whole = (part.start, part.stop) == (0, part.file_bytes)
        if is_whole and part.cid in gone_through:
            continue
        if is_whole and once:
            gone_through.add(part.cid)
        block = await _here(part.cid, get)
        found = await _file_at(part.cid, block)
        if found is None or found.size_bytes != part.file_bytes or depth > limits.MAX_FILE_DEPTH:
            raise NotWhole(f"{part.cid} is not the part of the file that its parent says")
        yield part.cid, block
        ahead.extend([(below, depth + 1) for below in children_in_range(found, part.start, part.stop)][::-1])
        if len(ahead) > limits.MAX_GATEWAY_AHEAD:
            raise NotWhole("too many links wait to be followed")


async def _shards_below(node: ShardNode, get: GetBlock) -> AsyncIterator[Block]:
    ahead = [slot.cid for slot in reversed(node.slots) if slot.name is None]
    expected = set(ahead)
    while ahead:
        cid = ahead.pop()
        block = await _here(cid, get)
        shard = await _node(cid, block)
        if not isinstance(shard, ShardNode):
            raise NotWhole(f"{cid} is not the shard that its parent says")
        yield cid, block
        below = [slot.cid for slot in reversed(shard.slots) if slot.name is None]
        if not expected.isdisjoint(below):
            raise NotWhole(f"a shard under {cid} stands in the folder twice")
        expected.update(below)
        ahead.extend(below)


async def _here(cid: Cid, get: GetBlock) -> bytes:
    block = await get(cid)
    if block is None:
        raise NotWhole(f"{cid} is not here")
    return block


async def _links(cid: Cid, block: bytes) -> tuple[Cid, ...]:
    try:
        return await _aside(cid, block, partial(repeated_links_of, cid, block))
    except RemoteProtocolError as error:
        raise NotWhole(str(error)) from error


async def _node(cid: Cid, block: bytes) -> Node:
    try:
        return await _aside(cid, block, partial(node_of, cid, block))
    except RemoteProtocolError as error:
        raise NotWhole(str(error)) from error


async def _file_at(cid: Cid, block: bytes) -> FileNode | None:
    try:
        node = await _aside(cid, block, partial(node_of, cid, block))
    except RemoteProtocolError:
        return None
    return node if isinstance(node, FileNode) else None


async def _aside(cid: Cid, block: bytes, read: Callable[[], T]) -> T:
    """Read a block: a large one, which may take 0.3 s, in the one thread there is for that, so that those who ask for
    it again and again wait for each other, and nobody else for them."""
    if cid.codec == CODEC_RAW or len(block) <= _QUICK_BYTES:
        return read()
    return await asyncio.get_running_loop().run_in_executor(_ASIDE, read)
