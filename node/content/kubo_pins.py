"""The pins of this twin in a Kubo. They are told by their names; others are the owner's own, and stay as they are."""

import asyncio
import logging
from contextlib import aclosing
from typing import Final

from identity.cid import Cid
from identity.errors import MalformedCid
from node.content.errors import BackendRefused
from node.content.kubo_api import KuboApi, KuboSaid
from node.errors import ContentUnavailable
from storage.pins import PinKind

STALL_S: Final = 30.0
"""A pin under way that comes no further for so long waits for a block that nobody gives."""

PIN_NAME: Final = "pagi"
"""How the names of our pins begin."""

_NAME_BYTES: Final = 255

logger = logging.getLogger(__name__)


def called(name: str | None) -> str:
    """What a pin of ours is called in Kubo, which takes names of 255 bytes."""
    text = PIN_NAME if name is None else f"{PIN_NAME}: {name}"
    return text.encode()[:_NAME_BYTES].decode(errors="ignore")


def _is_ours(name: str) -> bool:
    return name == PIN_NAME or name.startswith(f"{PIN_NAME}: ")


class KuboPins:
    """Pins in the Kubo of `api`. What goes wrong there is raised as `KuboApi` does."""

    def __init__(self, api: KuboApi) -> None:
        self._api = api

    async def add(self, cid: Cid, kind: PinKind, name: str) -> None:
        """Pin what is there under a name that `called` gave. Raises ContentUnavailable if something under it is not
        there, and Kubo's network does not give it."""
        there = await self._pin_of(cid)
        if there is not None:
            kind_there, name_there = there
            if not _is_ours(name_there) and (kind_there == "recursive" or kind == "direct"):
                return
            if kind_there == "recursive" and kind == "direct":
                await self._api.one("pin/rm", str(cid))
        try:
            await self._add_pin(cid, kind, name)
        except KuboSaid as said:
            raise ContentUnavailable(f"Kubo cannot pin {cid}: {said}") from said

    async def remove(self, cid: Cid) -> None:
        """Unpin, unless the pin is the owner's own or is gone."""
        there = await self._pin_of(cid)
        if there is not None and _is_ours(there[1]):
            try:
                await self._api.one("pin/rm", str(cid))
            except KuboSaid as said:
                logger.info("Kubo did not unpin %s: %s", cid, said)

    async def named(self, name: str) -> set[Cid]:
        """What is pinned recursively under exactly this name."""
        found: set[Cid] = set()
        options = {"type": "recursive", "names": "true", "name": name, "stream": "true"}
        async with aclosing(self._api.lines("pin/ls", options=options)) as lines:
            async for line in lines:
                if line.get("Name") == name:
                    found.add(self._cid(self._api.said(line, "Cid", str)))
        return found

    def _cid(self, text: str) -> Cid:
        try:
            return Cid.parse(text)
        except MalformedCid as error:
            raise BackendRefused(f"what is at {self._api.url} names {text[:100]!r} as a CID") from error

    async def _pin_of(self, cid: Cid) -> tuple[PinKind, str] | None:
        kinds: tuple[PinKind, ...] = ("recursive", "direct")
        for kind in kinds:
            try:
                line = await self._api.one("pin/ls", str(cid), type=kind, names="true", stream="true")
            except KuboSaid:
                continue
            return kind, str(line.get("Name", ""))
        return None

    async def _add_pin(self, cid: Cid, kind: PinKind, name: str) -> None:
        """Kubo fetches what is missing under a recursive pin, and waits for ever for what nobody has."""
        options = {"recursive": str(kind == "recursive").lower(), "progress": "true", "name": name}
        progress = 0
        try:
            async with (
                asyncio.timeout(STALL_S) as stall,
                aclosing(self._api.lines("pin/add", str(cid), options=options)) as lines,
            ):
                async for line in lines:
                    if "Pins" in line:
                        return
                    if line.get("Progress", progress) != progress:
                        progress = line["Progress"]
                        stall.reschedule(asyncio.get_running_loop().time() + STALL_S)
        except TimeoutError:
            raise ContentUnavailable(f"Kubo has not all of {cid}, and nobody gives it the rest") from None
        raise ContentUnavailable(f"Kubo broke off pinning {cid} after {progress} blocks")
