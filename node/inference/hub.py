"""A model hub with Hugging Face's interface: which GGUF files a repository has, and their bytes from any offset.

What the hub says of a file must agree with itself: the size and SHA-256 in the list of files, and those in the headers
of the file. The bytes often come from another host; the owner's token goes to the hub alone. A hub on this machine or
in this network may redirect there; any other leads to public addresses only.
"""

import json
import re
import socket
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp.connector import AddrInfoType
from yarl import URL

from node import __version__
from node.http.addresses import may_connect
from node.inference.errors import HubRefused, HubUnreachable, ModelDamaged, ModelNotNamed

CONNECT_S: Final = 30.0
STALL_S: Final = 60.0
"""Without a byte for so long the connection is given up; the next one goes on from there."""

MAX_REDIRECTS: Final = 5
MAX_LIST_BYTES: Final = 8 * 1024**2
MAX_PAGES: Final = 20
"""Of a thousand files each: no repository of one model has more."""

MAX_MODEL_BYTES: Final = 2 * 1024**4
"""The largest open models have about one and a half of these terabytes, unquantised."""

MAX_TOKEN_CHARS: Final = 512
MAX_NAMED: Final = 12
"""Files that a refusal lists."""

PREFERRED: Final = "Q4_K_M"
"""Of several quantisations the usual one: a quarter of the size for little loss."""

_PIECE_BYTES: Final = 1024**2
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_NAME: Final = re.compile(rf"(?P<repo>{_PART}/{_PART})(?::(?P<file>[^\s:]{{1,255}}))?")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SPLIT: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a repository at one commit. `licence` is the name that the repository gives it."""

    repo: str
    commit: str
    path: str
    size_bytes: int
    sha256: str
    licence: str | None = None
    licence_url: str | None = None

    @property
    def source(self) -> str:
        """The name that fetches it again."""
        return f"{self.repo}:{self.path}"


def is_hub_name(text: str) -> bool:
    """Whether a text has the form OWNER/REPO or OWNER/REPO:FILE."""
    return _NAME.fullmatch(text) is not None


class Hub:
    """The hub at `base_url`. `token_file` holds what it asks for before it gives models that have conditions."""

    def __init__(
        self, base_url: str, *, token_file: Path | None = None, allow_private: bool = False, stall_s: float = STALL_S
    ) -> None:
        self._base = URL(base_url.rstrip("/"))
        self._token_file = token_file
        # A proxy that the owner set up may be anywhere; where it leads is the proxy's business.
        self._allow_private = allow_private or _is_near(self._base) or bool(urllib.request.getproxies())
        self._stall_s = stall_s

    async def find(self, name: str) -> HubFile:
        """The file that OWNER/REPO[:FILE] names; FILE is a path, or a quantisation such as Q5_K_M.

        Raises ModelNotNamed if it names none or several, HubRefused, HubUnreachable.
        """
        named = _NAME.fullmatch(name)
        if named is None:
            raise ModelNotNamed(f"{name[:200]!r} is not OWNER/REPO or OWNER/REPO:FILE")
        repo = named["repo"]
        about = await self._document(self._base / "api/models" / repo)
        commit = about.get("sha") if isinstance(about, dict) else None
        if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{7,64}", commit):
            raise HubRefused(f"{self._base.host} does not say which commit of {repo} is current")
        path, entry = _chosen(repo, await self._files(repo, commit), named["file"])
        licence, licence_url = _licence_of(about)
        return HubFile(
            repo=repo,
            commit=commit,
            path=path,
            size_bytes=_size_of(entry, path),
            sha256=_sha256_of(entry, path),
            licence=licence,
            licence_url=licence_url,
        )

    async def pieces(self, file: HubFile, start: int) -> AsyncGenerator[bytes, None]:
        """The bytes of a file from `start` on. Raises HubUnreachable, HubRefused, and ModelDamaged for another file."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        place = self._base / file.repo / "resolve" / file.commit / file.path
        async with self._get(place, headers, file) as response:
            skip = _bytes_to_skip(response, file, start)
            with self._translated():
                async for piece in response.content.iter_chunked(_PIECE_BYTES):
                    rest = piece[skip:]
                    skip = max(0, skip - len(piece))
                    if rest:
                        yield rest

    async def _files(self, repo: str, commit: str) -> dict[str, Mapping[str, Any]]:
        """The GGUF files of a repository, by path."""
        found: dict[str, Mapping[str, Any]] = {}
        place: URL | None = self._base / "api/models" / repo / "tree" / commit % {"recursive": "true"}
        for _ in range(MAX_PAGES):
            if place is None:
                break
            async with self._get(place, {}) as response:
                entries = await self._json(response)
                link: Mapping[str, Any] = response.links.get("next") or {}
            for entry in entries if isinstance(entries, list) else ():
                path = entry.get("path") if isinstance(entry, dict) else None
                if isinstance(path, str) and _is_file_below(path) and entry.get("type") == "file":
                    found[path] = entry
            place = place.join(URL(str(link["url"]))) if "url" in link else None
            if place is not None and place.origin() != self._base.origin():
                raise HubRefused(f"{self._base.host} continues its list of files at another host")
        return found

    async def _document(self, place: URL) -> Any:
        async with self._get(place, {}) as response:
            return await self._json(response)

    async def _json(self, response: aiohttp.ClientResponse) -> Any:
        data = bytearray()
        with self._translated():
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > MAX_LIST_BYTES:
                    raise HubRefused(f"{self._base.host} answers with more than {MAX_LIST_BYTES} bytes")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise HubRefused(f"what answers at {self._base.host} is no model hub") from error

    @asynccontextmanager
    async def _get(
        self, place: URL, headers: Mapping[str, str], file: HubFile | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer, after redirects. Of a `file` each answer must agree with what the list said."""
        async with self._new_session() as session:
            for _ in range(MAX_REDIRECTS + 1):
                with self._translated():
                    wanted = {**headers, **self._authorization(place), "Accept-Encoding": "identity"}
                    response = await session.get(place, headers=wanted, allow_redirects=False)
                async with response:
                    if file is not None:
                        _check_linked(response, file)
                    if response.status not in _REDIRECTS:
                        self._check_status(response)
                        yield response
                        return
                    place = _redirected(place, response)
        raise HubRefused(f"{self._base.host} redirects more than {MAX_REDIRECTS} times")

    def _check_status(self, response: aiohttp.ClientResponse) -> None:
        status, host = response.status, response.url.host
        if status in (401, 403):
            raise HubRefused(f"{host} does not give it to us (status {status}): it does not exist, or has conditions")
        if status == 404:
            raise HubRefused(f"{host} has no such model or file")
        if status == 429 or status >= 500:
            raise HubUnreachable(f"{host} answers with status {status}")
        if status not in (200, 206):
            raise HubRefused(f"{host} answers with status {status}")

    def _authorization(self, place: URL) -> dict[str, str]:
        """The owner's token, for the hub alone and never in the clear over a network."""
        if self._token_file is None or place.origin() != self._base.origin():
            return {}
        if place.scheme != "https" and not _is_near(place):
            return {}
        try:
            token = self._token_file.expanduser().read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise HubRefused(f"the token in {self._token_file} cannot be read") from error
        if not 0 < len(token) <= MAX_TOKEN_CHARS or not token.isprintable() or " " in token:
            raise HubRefused(f"{self._token_file} holds no token")
        return {"Authorization": f"Bearer {token}"}

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver(), socket_factory=self._socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": f"pagi-twin/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._stall_s),
            trust_env=True,
        )

    def _socket(self, info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not may_connect(str(address[0]), allow_private=self._allow_private):
            raise OSError(None, "leads to an address in a private network")
        return socket.socket(family=family, type=kind, proto=protocol)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise HubUnreachable(f"{self._base.host} did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            inner = getattr(error, "os_error", None) or error
            reason = getattr(inner, "strerror", None) or type(error).__name__
            raise HubUnreachable(f"{self._base.host} cannot be reached: {reason}") from error


def _redirected(place: URL, response: aiohttp.ClientResponse) -> URL:
    """Where a redirect leads. Raises HubRefused if it leaves TLS or leads nowhere."""
    try:
        following = place.join(URL(response.headers.get("Location", "")))
    except ValueError as error:
        raise HubRefused(f"{place.host} redirects to what is no URL") from error
    if following.scheme not in ("http", "https") or (place.scheme, following.scheme) == ("https", "http"):
        raise HubRefused(f"{place.host} redirects away from https")
    return following


def _is_file_below(path: str) -> bool:
    """Whether it is a GGUF file below the repository, by a name that a URL and a terminal can take."""
    below = not any(part in ("", ".", "..") for part in path.split("/"))
    return below and path.isprintable() and path.lower().endswith(".gguf")


def _is_near(place: URL) -> bool:
    """Whether a URL names this machine or its network by an address, or as localhost."""
    host = place.host or ""
    return host == "localhost" or (may_connect(host, allow_private=True) and not may_connect(host, allow_private=False))


def _chosen(repo: str, files: Mapping[str, Mapping[str, Any]], wanted: str | None) -> tuple[str, Mapping[str, Any]]:
    """The one file that is meant. Raises ModelNotNamed, HubRefused."""
    whole = {path: entry for path, entry in files.items() if not _SPLIT.search(path)}
    if wanted is not None and wanted.lower().endswith(".gguf"):
        if wanted in whole:
            return wanted, whole[wanted]
        if wanted in files:
            raise HubRefused(f"{wanted} is one of several pieces of a model; only models in one file are fetched")
        raise HubRefused(f"{repo} has no file {wanted}")
    fitting = _quantised(whole, wanted) if wanted is not None else _quantised(whole, PREFERRED) or list(whole)
    if len(fitting) == 1:
        return fitting[0], whole[fitting[0]]
    names = ", ".join(sorted(fitting or whole)[:MAX_NAMED])
    if not whole:
        raise HubRefused(f"{repo} has no GGUF file" + (" in one piece" if files else ""))
    what = f"no file for {wanted!r}" if wanted is not None and not fitting else "several files"
    raise ModelNotNamed(f"{repo} has {what}: {names}. Name one as {repo}:FILE")


def _quantised(files: Mapping[str, object], tag: str) -> list[str]:
    """The paths that name this quantisation as a word of theirs."""
    word = re.compile(rf"(?<![A-Z0-9]){re.escape(tag.upper())}(?![A-Z0-9_])")
    return [path for path in files if word.search(path.upper())]


def _size_of(entry: Mapping[str, Any], path: str) -> int:
    size = entry.get("size")
    if not isinstance(size, int) or not 0 < size <= MAX_MODEL_BYTES:
        raise HubRefused(f"the hub does not say how long {path} is")
    return size


def _sha256_of(entry: Mapping[str, Any], path: str) -> str:
    kept = entry.get("lfs")
    found = kept.get("oid") if isinstance(kept, dict) else None
    if not isinstance(found, str) or not _SHA256.fullmatch(found):
        raise HubRefused(f"the hub gives no SHA-256 for {path}, so nobody could check it")
    return found


def _licence_of(about: Mapping[str, Any]) -> tuple[str | None, str | None]:
    card = about.get("cardData")
    said = card if isinstance(card, dict) else {}
    name, link = said.get("license_name") or said.get("license"), said.get("license_link")
    usable = isinstance(link, str) and link.startswith("https://") and link.isprintable() and len(link) <= 256
    return (name[:64] if isinstance(name, str) and name.isprintable() else None), (link if usable else None)


def _check_linked(response: aiohttp.ClientResponse, file: HubFile) -> None:
    """The headers in which a hub says what it leads to. Raises ModelDamaged if that is not the listed file."""
    size = response.headers.get("X-Linked-Size")
    tag = response.headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"')
    if size is not None and size != str(file.size_bytes):
        raise ModelDamaged(f"the hub lists {file.path} with {file.size_bytes} bytes and now offers one of {size[:20]}")
    if _SHA256.fullmatch(tag) and tag != file.sha256:
        raise ModelDamaged(f"the hub lists {file.path} with another SHA-256 than that of the file it now offers")


def _bytes_to_skip(response: aiohttp.ClientResponse, file: HubFile, start: int) -> int:
    """How much of the body lies before `start`: all of it where the server sends the file whole."""
    if response.status == 200:
        if response.content_length not in (None, file.size_bytes):
            raise ModelDamaged(
                f"the hub offers {response.content_length} bytes for {file.path}: {file.size_bytes} were promised"
            )
        return start
    sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if sent is None or int(sent[1]) > start or sent[2] not in ("*", str(file.size_bytes)):
        raise ModelDamaged(f"the hub sends another part of {file.path} than was asked for")
    return start - int(sent[1])
