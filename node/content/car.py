"""Whole DAGs as CAR files, in and out, block by block."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence

from identity.cid import Cid
from node.content.ahead import reading_ahead
from node.content.blocks import Blocks, Hold
from node.content.errors import CarRefused
from node.content.walking import fetch_dag
from node.content.writing import writing
from node.errors import ContentTooLarge, ContentUnavailable
from protocols import limits
from protocols.ipld.car import CarReader, car_header, car_section
from protocols.ipld.links import links_of


async def export_car(blocks: Blocks, root: Cid) -> AsyncGenerator[bytes, None]:
    """A DAG as a CAR file: its root first, then depth-first, each block once, as `ipfs dag export` orders them.

    What is not here is fetched and not kept. Raises what `ReadAhead.next` and `links_of` raise, and ContentTooLarge.
    Close it when it is not read to its end.
    """
    head = car_header([root])
    to_visit, written = [root], set[Cid]()
    async with reading_ahead(blocks) as ahead:
        while to_visit:
            if to_visit[-1] in written:
                to_visit.pop()
                continue
            block = await ahead.next(
                [cid for cid in reversed(to_visit[-limits.MAX_READ_AHEAD :]) if cid not in written]
            )
            cid = to_visit.pop()
            written.add(cid)
            yield head + car_section(cid, block)  # the head goes out with the root: one that is nowhere has no CAR
            head = b""
            to_visit.extend(link for link in reversed(links_of(cid, block)) if link not in written)
            if len(written) > limits.MAX_DAG_BLOCKS or len(to_visit) > limits.MAX_DAG_BLOCKS:
                raise ContentTooLarge(f"{root} has over {limits.MAX_DAG_BLOCKS} blocks")


async def import_car(blocks: Blocks, hold: Hold, stream: AsyncIterable[bytes]) -> tuple[Cid, ...]:
    """Put the blocks of a CAR file under `hold`; its roots, each of them in the file, and all of its DAG here.

    Raises MalformedMessage, TooLarge or CarRefused; then the caller takes back what came so far.
    """
    reader = CarReader()
    seen: set[Cid] = set()
    async with writing(hold) as sink:
        async for piece in stream:
            found = reader.feed(piece)
            await sink.put([(cid, block) for cid, block in found if cid not in seen])
            seen.update(cid for cid, _ in found)
            if len(seen) > limits.MAX_DAG_BLOCKS:
                raise ContentTooLarge(f"the CAR file has over {limits.MAX_DAG_BLOCKS} blocks")
        reader.finish()
    for root in reader.roots:
        if root not in seen:
            raise CarRefused(f"the CAR file names the root {root} and does not have it")
        try:
            await fetch_dag(blocks, hold, root, elsewhere=_nowhere)
        except ContentUnavailable as error:
            raise CarRefused(f"the CAR file does not have all of {root}: {error}") from error
    return reader.roots


async def _nowhere(cids: Sequence[Cid]) -> dict[Cid, bytes]:
    """Gives nothing: what a CAR file lacks is not looked for."""
    return {}
