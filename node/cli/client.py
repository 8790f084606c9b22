"""A small client of one twin's HTTP interface, on the standard library alone so that it starts fast."""

import http.client
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from socket import socket
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from node.cli.errors import ApiProblem, FileUnreadable, NodeNotRunning, NodeSilent

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 600.0
"""A goal may take a slow machine's model minutes."""
PIECE_BYTES: Final = 1024 * 1024


class Client:
    """Requests to the twin at `base_url`, which may be `http://host:port` or `host:port`."""

    def __init__(self, base_url: str, token: str) -> None:
        parts = urlsplit(base_url if "://" in base_url else f"http://{base_url}")
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._token = token

    @classmethod
    def of_home(cls, home: Path) -> "Client":
        """The twin that runs on `home`. Raises NodeNotRunning if its files are not there."""
        try:
            base_url = (home / "api").read_text(encoding="utf-8").strip()
            token = (home / "api-token").read_text(encoding="utf-8").strip()
        except FileNotFoundError as error:
            raise NodeNotRunning(f"no twin is running on {home}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise FileUnreadable(f"cannot read the twin's address or token in {home}: {error}") from error
        return cls(base_url, token)

    def get(self, *path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._json("GET", path, query=query)

    def post(
        self, *path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return self._json("POST", path, query=query, body=json.dumps(body or {}).encode())

    def put(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._json("PUT", path, body=json.dumps(body).encode())

    def delete(self, *path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._json("DELETE", path, query=query)

    def post_bytes(self, *path: str, data: bytes) -> dict[str, Any]:
        return self._json("POST", path, body=data, content_type="application/octet-stream")

    def get_bytes(self, *path: str, query: Mapping[str, Any] | None = None) -> bytes:
        return self._exchange("GET", path, query=query)[1]

    def upload(
        self,
        *path: str,
        body: Iterable[bytes],
        size_bytes: int | None,
        content_type: str,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Send a body of any length as it is made; without a size it goes in chunks."""
        length = {"Transfer-Encoding": "chunked"} if size_bytes is None else {"Content-Length": str(size_bytes)}
        headers = {"Content-Type": content_type, **length}
        with self._connected("POST", _target(path, query), _bytes_of(body, size_bytes), headers) as response, _heard():
            return _document(response.read())

    @contextmanager
    def download(
        self, *path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The body of an answer in pieces. Raises NodeSilent if it is cut off."""
        with self._connected("GET", _target(path, query), None, headers or {}) as response:
            yield _pieces(response)

    def follow(
        self, method: str, *path: str, body: Mapping[str, Any], on_progress: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Start long work, hear how far it is, and return its result. Raises ApiProblem if it fails on the way."""
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        with self._connected(method, _target(path, None), json.dumps(body).encode(), headers) as response, _heard():
            for line in response:
                document = _document(line)
                if "problem" in document:
                    raise ApiProblem(document["problem"])
                if "result" in document:
                    return dict(document["result"])
                on_progress(document.get("progress", {}))
        raise NodeSilent("the twin broke the connection off before the work was done")

    def events(self, *path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Server-sent events as they come, (kind, data), until the twin ends the stream."""
        kind = ""
        with self._connected("GET", _target(path, None), None, {}) as response, _heard():
            for line in response:
                field, _, value = line.rstrip(b"\r\n").partition(b": ")
                if field == b"event":
                    kind = value.decode()
                elif field == b"data":
                    yield kind, _document(value)

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Status and document of GET /ready, which answers with 503 while something does not work."""
        status, data = self._send("GET", "/ready", None, "application/json")
        return status, _document(data)

    def _json(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        return _document(self._exchange(method, path, query=query, body=body, content_type=content_type)[1])

    def _exchange(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        status, data = self._send(method, _target(path, query), body, content_type)
        if status >= 400:
            raise ApiProblem(_document(data))
        return status, data

    def _send(self, method: str, target: str, body: bytes | None, content_type: str) -> tuple[int, bytes]:
        with self._asked(method, target, body, {"Content-Type": content_type}) as response, _heard():
            return response.status, response.read()

    @contextmanager
    def _connected(
        self, method: str, target: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer whose body is still to be read. Raises ApiProblem if it is one."""
        with self._asked(method, target, body, headers) as response:
            if response.status >= 400:
                with _heard():
                    raise ApiProblem(_document(response.read()))
            yield response

    @contextmanager
    def _asked(
        self, method: str, target: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise NodeNotRunning(f"no twin answers at {self._host}:{self._port}") from error
            connection.sock.settimeout(ANSWER_TIMEOUT_S)
            with _heard(), suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    method,
                    target,
                    body=body if body is None or isinstance(body, bytes) else _until_answered(body, connection.sock),
                    headers={"Authorization": f"Bearer {self._token}", **headers},
                    encode_chunked="Transfer-Encoding" in headers,
                )
            with _heard():
                response = connection.getresponse()
            yield response
        finally:
            connection.close()


def _target(path: tuple[str, ...], query: Mapping[str, Any] | None) -> str:
    wanted = {key: value for key, value in (query or {}).items() if value is not None}
    return "/v1/" + "/".join(quote(part, safe="") for part in path) + ("?" + urlencode(wanted) if wanted else "")


def _until_answered(body: Iterable[bytes], sock: socket) -> Iterator[bytes]:
    """The body, as far as the twin wants it: one that refuses answers before it has read everything."""
    for piece in body:
        if select([sock], [], [], 0)[0]:
            return
        yield piece


def _bytes_of(body: Iterable[bytes], size_bytes: int | None) -> Iterator[bytes]:
    """The body, which must be as long as was announced."""
    sent = 0
    for piece in body:
        sent += len(piece)
        if size_bytes is not None and sent > size_bytes:
            break
        yield piece
    if size_bytes not in (None, sent):
        raise FileUnreadable("what was to be sent has changed while it was read")


@contextmanager
def _heard() -> Iterator[None]:
    """What goes wrong between us and the twin, in its own words."""
    try:
        yield
    except TimeoutError as error:
        raise NodeSilent(f"the twin gave no answer within {ANSWER_TIMEOUT_S:.0f} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise NodeSilent(f"the twin broke the connection off: {error}") from error


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        with _heard():
            piece = response.read1(PIECE_BYTES)
        if not piece:
            break
        yield piece
    if response.length:
        raise NodeSilent(f"the twin broke the connection off, {response.length} bytes before the end")


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise NodeSilent("what answers at the twin's address is no twin") from error
    if not isinstance(document, dict):
        raise NodeSilent("what answers at the twin's address is no twin")
    return document
