"""A Git repository as the node uses it: the worker's process is started, given its time, and ended.

Whatever comes back says nothing of the owner's credentials: a URL may hold some.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from node.errors import GitRefused, GitUnreachable
from protocols import limits

FILE: Final = "playbook.toml"
ARTIFACTS: Final = "swarm_artifacts"

MAX_ARTIFACTS: Final = 1000
"""Artifacts of a repository that are looked at, the last by name."""

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""All artifacts that one look brings; what is over comes with the next."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one look or push may take."""

    request_s: float = 120.0
    """The start of the process included."""

    memory_bytes: int = 1024 * 1024 * 1024
    """Address space: the interpreter with its libraries takes a quarter, a pack and its largest object the rest."""

    pack_bytes: int = 64 * 1024 * 1024
    """The newest state of a branch, packed. A repository for playbooks has some kilobytes to a few megabytes."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a branch holds. `commit` is None if there is no such branch, and `file` if there is no playbook.toml.

    `artifacts` has the text of the new ones by file name, `blobs` the blobs of all that were looked at, and `skipped`
    names those that cannot be read. With `more` there are others: look again with these `blobs`.
    """

    commit: str | None
    file: str | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
    blobs: Mapping[str, str] = field(default_factory=dict)
    skipped: Sequence[str] = ()
    more: bool = False


class Remote:
    """The repository at `url`. What is fetched lies below `folder` for as long as a request takes."""

    def __init__(self, url: str, base_branch: str, folder: Path, bounds: Bounds = Bounds()) -> None:
        self._url = url
        self._base_branch = base_branch
        self._folder = folder
        self._bounds = bounds

    @property
    def shown(self) -> str:
        """The URL without user and password."""
        return without_secrets(self._url)

    def clear(self) -> None:
        """Remove what an earlier process was cut off from removing. Blocks the calling thread."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def look(self, *, known: str | None, have: Mapping[str, str]) -> Look:
        """The base branch, if its newest commit is not `known`; of its artifacts those that are not in `have`.

        Raises GitUnreachable or GitRefused.
        """
        answer = await self._ask(
            action="look",
            known=known,
            have=dict(have),
            file=FILE,
            artifacts=ARTIFACTS,
            max_artifacts=MAX_ARTIFACTS,
            max_file_bytes=limits.MAX_PLAYBOOK_FILE_BYTES,
            max_bytes=MAX_ANSWER_BYTES,
        )
        return Look(**answer)

    async def push(
        self, branch: str, files: Mapping[str, str], *, author: str, message: str, time_s: int
    ) -> tuple[str | None, bool]:
        """Push `files` on top of the base branch as a new branch; the commit's id, and whether it was there already.

        Raises GitUnreachable or GitRefused.
        """
        answer = await self._ask(
            action="push", branch=branch, files=dict(files), author=author, message=message, time_s=time_s
        )
        return answer["commit"], answer["existed"]

    async def _ask(self, **request: Any) -> dict[str, Any]:
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(dir=self._folder)
        try:
            out = await self._run(
                {
                    "url": self._url,
                    "base_branch": self._base_branch,
                    "folder": folder,
                    "max_memory_bytes": self._bounds.memory_bytes,
                    "max_pack_bytes": self._bounds.pack_bytes,
                    **request,
                }
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError as error:  # the system ended it: it took more than it may
            raise GitRefused(f"{self.shown} is too large to be looked at") from error
        if kind := answer.get("failed"):
            cause = f"{self.shown}: {without_secrets_of(self._url, answer['cause'])}"
            raise GitUnreachable(cause) if kind == "unreachable" else GitRefused(cause)
        return answer

    async def _run(self, request: Mapping[str, Any]) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node.hive.git.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # what it starts, such as ssh, ends with it, and can ask nobody for a password
        )
        try:
            async with asyncio.timeout(self._bounds.request_s):
                out, _ = await process.communicate(json.dumps(request).encode())
        except TimeoutError as error:
            raise GitUnreachable(f"{self.shown} gave no whole answer within {self._bounds.request_s:g} s") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()
        return out


def without_secrets(url: str) -> str:
    """A URL without user and password; a path, or what ssh takes, as it is."""
    parts = urlsplit(url)
    if "@" not in parts.netloc or not parts.scheme:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def without_secrets_of(url: str, text: str) -> str:
    """A text without what stands before the host in a URL, in any form in which a library may show it."""
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return text
    userinfo = parts.netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    for secret in (userinfo + "@", userinfo, unquote(userinfo), password, unquote(password), user, unquote(user)):
        if secret:
            text = text.replace(secret, "…")
    return text
