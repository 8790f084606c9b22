"""A client for the RPC API of Kubo: `POST <url>/api/v0/…`.

It speaks to the URL that the owner configured and to nobody else: redirects are not followed, no proxy is asked. Every
call is bounded in time and in bytes; a Kubo that is down is noticed at once, and works again as soon as it is back.
Reference: https://docs.ipfs.tech/reference/kubo/rpc/
"""

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from node.content.errors import BackendRefused, BackendUnavailable
from storage.errors import StorageFull

T = TypeVar("T")

CONNECT_S: Final = 3.0
"""Kubo is mostly on this machine: whoever does not answer by then is not there."""

SILENCE_S: Final = 30.0
"""Between two bytes of an answer. A call that works for longer says so meanwhile, or gets a time of its own."""

CALL_S: Final = 120.0
"""A call that answers once, from its beginning to its end: a batch of blocks on a slow disk takes some of that."""

MAX_LINE_BYTES: Final = 256 * 1024
"""One JSON document of an answer: `id` lists addresses and protocols."""

MAX_BLOCK_BYTES: Final = 4 * 1024 * 1024
"""A block that is read from Kubo. It takes up to 2 MiB in, and `--allow-big-block` says that it need not keep to it."""

MAX_CONNECTIONS: Final = 16

_SAID_CHARS: Final = 300
_MISSING: Final = ("could not find", "block was not found locally")
_NO_SPACE: Final = "no space left on device"


class KuboSaid(BackendRefused):
    """Kubo could not do what it was asked for, and says why."""

    code = 50243
    hint = "What Kubo says is in the message; its own log says more."

    @property
    def missing(self) -> bool:
        """Whether it says that a block is not there."""
        return any(words in str(self) for words in _MISSING)


class KuboApi:
    """The calls of one Kubo. Its session is made when it is needed; `close` ends it.

    `secret` is what Kubo's `API.Authorizations` asks for: `bearer:TOKEN` or `basic:USER:PASSWORD`.
    """

    def __init__(self, url: str, *, secret: str | None = None) -> None:
        self.url: Final = url.rstrip("/")
        self._base = URL(self.url) / "api/v0"
        self._headers = {} if secret is None else {"Authorization": _authorization(secret)}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End the session."""
        if self._session is not None:
            await self._session.close()

    async def block(self, cid: str, *, timeout_s: float | None = None) -> bytes:
        """A block: of Kubo's own, or also of the network if there is a time for that.

        Raises KuboSaid, BackendUnavailable, BackendRefused, as every call here does.
        """
        options = {"offline": "true"} if timeout_s is None else {"timeout": f"{timeout_s:g}s"}
        async with self._post("block/get", [cid], options, wait_s=timeout_s, once=True) as response:
            data = await _read(response, MAX_BLOCK_BYTES + 1)
        if len(data) > MAX_BLOCK_BYTES:
            raise BackendRefused(f"Kubo at {self.url} gave a block of more than {MAX_BLOCK_BYTES} bytes")
        return data

    async def put(self, codec: str, blocks: Sequence[bytes]) -> list[str]:
        """Store blocks of one codec; their CIDs."""
        form = aiohttp.FormData()
        for block in blocks:
            form.add_field("data", block, filename="block", content_type="application/octet-stream")
        options = {"cid-codec": codec, "mhtype": "sha2-256", "allow-big-block": "true"}
        lines = self.lines("block/put", options=options, form=form, once=True)
        return [self.said(line, "Key", str) async for line in lines]

    async def one(self, command: str, *arguments: str, wait_s: float | None = None, **options: str) -> dict[str, Any]:
        """The first JSON document that a call answers with, or an empty one; the others are read and dropped.

        An option's hyphens are written as underscores.
        """
        found: dict[str, Any] = {}
        named = {name.replace("_", "-"): value for name, value in options.items()}
        async for line in self.lines(command, *arguments, options=named, wait_s=wait_s, once=True):
            found = found or line
        return found

    def said(self, document: Mapping[str, Any], field: str, kind: type[T]) -> T:
        """A field of an answer. Raises BackendRefused if it is not there, or is of another kind."""
        value = document.get(field)
        if not isinstance(value, kind):
            raise BackendRefused(f"what is at {self.url} does not answer as Kubo does: there is no {field!r}")
        return value

    async def lines(
        self,
        command: str,
        *arguments: str,
        options: Mapping[str, str] | None = None,
        form: aiohttp.FormData | None = None,
        wait_s: float | None = None,
        once: bool = False,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The JSON documents that a call answers with, as they come; all of them in CALL_S if it answers `once`."""
        async with self._post(command, arguments, options or {}, form=form, wait_s=wait_s, once=once) as response:
            rest = b""
            while chunk := await response.content.readany():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in filter(None, whole):
                    yield self._document(line)
                if len(rest) > MAX_LINE_BYTES:
                    raise BackendRefused(f"Kubo at {self.url} answers with endless lines")
            if rest.strip():
                yield self._document(rest)

    @asynccontextmanager
    async def _post(
        self,
        command: str,
        arguments: Sequence[str],
        options: Mapping[str, str],
        *,
        form: aiohttp.FormData | None = None,
        wait_s: float | None = None,
        once: bool,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        query = [*(("arg", argument) for argument in arguments), *options.items()]
        wait_s = wait_s or 0.0
        timeout = aiohttp.ClientTimeout(
            CALL_S + wait_s if once else None, sock_connect=CONNECT_S, sock_read=SILENCE_S + wait_s
        )
        try:
            async with self._open().post(
                (self._base / command).with_query(query), data=form, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    await self._refused(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BackendUnavailable(f"Kubo at {self.url} does not answer: {_reason(error)}") from error

    async def _refused(self, response: aiohttp.ClientResponse) -> None:
        body = (await _read(response, MAX_LINE_BYTES)).decode(errors="replace").strip()
        if response.status == 500 and response.content_type == "application/json":
            said = str(self._document(body.encode()).get("Message", ""))[:_SAID_CHARS]
            if _NO_SPACE in said:
                raise StorageFull(f"Kubo at {self.url} says: {said}")
            raise KuboSaid(said)
        raise BackendRefused(f"what is at {self.url} answers with status {response.status}: {body[:_SAID_CHARS]}")

    def _document(self, line: bytes) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BackendRefused(f"what is at {self.url} does not answer as Kubo does")
        return found

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, or its first `most` bytes."""
    data = bytearray()
    while len(data) < most and (piece := await response.content.read(most - len(data))):
        data += piece
    return bytes(data)


def _authorization(secret: str) -> str:
    """The header for a secret in the form in which Kubo's configuration has it."""
    kind, _, rest = secret.partition(":")
    if kind == "basic":
        return f"Basic {base64.b64encode(rest.encode()).decode()}"
    return f"Bearer {rest if kind == 'bearer' else secret}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it is silent, or comes to no end"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
