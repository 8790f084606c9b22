"""A small client of one twin's HTTP interface, on the standard library alone so that it starts fast."""

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from node.cli.errors import ApiProblem, FileUnreadable, NodeNotRunning, NodeSilent

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 600.0
"""A goal may take a slow machine's model minutes."""


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

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._json("POST", path, body=json.dumps(body or {}).encode())

    def put(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._json("PUT", path, body=json.dumps(body).encode())

    def delete(self, *path: str) -> dict[str, Any]:
        return self._json("DELETE", path)

    def post_bytes(self, *path: str, data: bytes) -> dict[str, Any]:
        return self._json("POST", path, body=data, content_type="application/octet-stream")

    def get_bytes(self, *path: str) -> bytes:
        return self._exchange("GET", path)[1]

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
        target = "/v1/" + "/".join(quote(part, safe="") for part in path)
        wanted = {key: value for key, value in (query or {}).items() if value is not None}
        if wanted:
            target += "?" + urlencode(wanted)
        status, data = self._send(method, target, body, content_type)
        if status >= 400:
            raise ApiProblem(_document(data))
        return status, data

    def _send(self, method: str, target: str, body: bytes | None, content_type: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise NodeNotRunning(f"no twin answers at {self._host}:{self._port}") from error
            connection.sock.settimeout(ANSWER_TIMEOUT_S)
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
            try:
                connection.request(method, target, body=body, headers=headers)
                response = connection.getresponse()
                return response.status, response.read()
            except TimeoutError as error:
                raise NodeSilent(f"the twin gave no answer within {ANSWER_TIMEOUT_S:.0f} s") from error
            except (OSError, http.client.HTTPException) as error:
                raise NodeSilent(f"the twin broke the connection off: {error}") from error
        finally:
            connection.close()


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise NodeSilent("what answers at the twin's address is no twin") from error
    if not isinstance(document, dict):
        raise NodeSilent("what answers at the twin's address is no twin")
    return document
