"""Keeping a Git repository in step with a playbook: `hive_pull` and `hive_push`.

Pulling: playbook.toml on the base branch is compared with what it was when it was looked at last, and what people
changed becomes a revision of ours; so do the artifacts that they merged. What the swarm wrote meanwhile stays. Pushing:
what this twin wrote since goes to a branch of its own for people to review, as an artifact that shows the whole
playbook.

Everything is repeatable: what was done is recorded after it was done, and doing it again changes nothing.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from identity.cid import Cid
from identity.did import Did
from node.clock import NowMs, now_ms
from node.config import GitConfig
from node.errors import GitNotConfigured, GitRefused, GitUnreachable, NodeError, RevisionRefused, RevisionUnknown
from node.hive.files import Proposing
from node.hive.git.record import Record, Records, blob_id
from node.hive.git.remote import ARTIFACTS, FILE, Remote
from node.hive.git.taking import FROM_GIT, Taking
from protocols import fields, limits
from protocols.playbook.artifact import write_artifact
from protocols.playbook.merge import Playbook
from protocols.playbook.ops import Harmful, Helpful, Metric
from protocols.playbook.revision import Revision
from protocols.playbook.toml import render
from storage import revisions as rows
from storage.database import Database

logger = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 5.0
"""Pause after a first failure; it doubles up to the usual one, and stays there."""

BRANCHES: Final = "swarm/improvement/"

_PAGE: Final = 200
_SUBJECT_CHARS: Final = 72
"""The first line of a commit message, as Git's own tools show it."""

_PUSHED_KEPT: Final = 32
"""Artifacts of our own that are known again when people have merged them."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought: the branch's commit, our new revisions, and what of the commit was not taken, in words."""

    commit: str
    revisions: Sequence[Cid] = ()
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Pushed:
    """The branch that was pushed, and its commit unless it was there already; `revisions` are those that it shows."""

    branch: str
    commit: str | None
    revisions: Sequence[Cid]


@dataclass(frozen=True, slots=True)
class GitStatus:
    """How the repository is doing. `url` holds no secrets; `failing` is why the last attempt failed, if it did."""

    url: str
    base_branch: str
    record: Record
    failing: str | None


class GitSync:
    """The repository of one playbook. Without a URL in the configuration it does nothing."""

    def __init__(
        self,
        config: GitConfig,
        *,
        did: Did,
        name: str,
        hive: Proposing,
        database: Database,
        folder: Path,
        now: NowMs = now_ms,
    ) -> None:
        self._config = config
        self._did = did
        self._author = f"{''.join(char for char in name if char not in '<>')} <{did}>"
        self._hive = hive
        self._database = database
        self._now = now
        self._remote = Remote(_local(config.url), config.base_branch, folder) if config.url is not None else None
        self._records = Records(database, config.playbook, config.url or "", config.base_branch)
        self._taking = Taking(config.playbook, did=did, hive=hive, database=database)
        self._lock = asyncio.Lock()
        self._problems: Sequence[str] = ()
        self.failing: str | None = None
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Pull and push now and then, until cancelled; at once if nothing is configured."""
        if self._remote is None:
            return
        async with self._lock:
            await asyncio.to_thread(self._remote.clear)
        failures = 0
        while True:
            try:
                await self.pull()
                if self._config.push:
                    await self.push()
                failures = 0
            except NodeError as error:
                failures += 1
                logger.log(logging.WARNING if failures == 1 else logging.INFO, "Git: %s", error)
            usual_s = self._config.pull_every_s
            await asyncio.sleep(min(RETRY_FIRST_S * 2.0 ** min(failures - 1, 16), usual_s) if failures else usual_s)

    @property
    def health(self) -> str | None:
        """What the owner should see to, in one line, or "" if all is well; None if nothing is configured."""
        if self._remote is None:
            return None
        return self.failing or "; ".join(f"not taken: {problem}" for problem in self._problems)

    async def status(self, playbook: str | None = None) -> GitStatus:
        """How the repository is doing. Raises GitNotConfigured."""
        remote = self._checked(playbook)
        return GitStatus(remote.shown, self._config.base_branch, await self._records.get(), self.failing)

    async def pull(self, playbook: str | None = None) -> Pulled:
        """Take in what people merged. Raises GitNotConfigured, GitUnreachable, GitRefused or RevisionRefused."""
        remote = self._checked(playbook)
        async with self._lock:
            with self._noted():
                await self._whole()
                record = await self._records.get()
                made: list[Cid] = []
                problems: list[str] = []
                while True:
                    look = await remote.look(known=record.commit, have=record.blobs)
                    if look.commit is None:
                        raise GitRefused(f"{remote.shown} has no branch {self._config.base_branch!r} yet")
                    self._problems = record.problems
                    if look.commit == record.commit:
                        return Pulled(look.commit, (), record.problems)
                    taken = await self._taking.take(look, record)
                    made += taken.revisions
                    problems += taken.problems
                    record = replace(
                        record,
                        commit=None if look.more else look.commit,
                        file=taken.file,
                        blobs=dict(look.blobs),
                        problems=tuple(problems),
                        pulled_ms=self._now(),
                    )
                    await self._records.put(record)
                    self._problems = record.problems
                    self.counters["git_revisions_pulled"] += len(taken.revisions)
                    if not look.more:
                        return Pulled(look.commit, tuple(made), tuple(problems))

    async def push(self, playbook: str | None = None) -> Pushed | None:
        """Bring what this twin wrote out for review; None if there is nothing new.

        Raises GitNotConfigured, GitUnreachable, GitRefused or RevisionRefused.
        """
        remote = self._checked(playbook)
        async with self._lock:
            with self._noted():
                shown = await self._whole()
                record = await self._records.get()
                newest, ours = await self._ours_since(record.pushed_seq)
                if not ours:
                    if newest != record.pushed_seq:
                        await self._records.put(replace(record, pushed_seq=newest))
                    return None
                pushed, text = await self._push(remote, shown, ours)
                blobs = (*record.pushed_blobs, blob_id(text))[-_PUSHED_KEPT:]
                await self._records.put(
                    replace(record, pushed_seq=newest, pushed_blobs=blobs, branch=pushed.branch, pushed_ms=self._now())
                )
        self.counters["git_branches_pushed"] += 1
        return pushed

    async def _push(self, remote: Remote, shown: Playbook, ours: Sequence[tuple[Cid, Revision]]) -> tuple[Pushed, str]:
        """Push one branch; also its artifact. Name, time and content follow from what is shown, so a push that was
        interrupted finds its own branch."""
        newest, revision = ours[-1]
        cids = [cid for cid, _ in ours][-limits.MAX_EVIDENCE :]
        critique = _joined([each.critique for _, each in ours])
        text = await asyncio.to_thread(write_artifact, shown, twin=self._did, critique=critique, revisions=cids)
        files = {f"{ARTIFACTS}/{newest}.toml": text}
        if self._config.push_playbook:
            files[FILE] = await asyncio.to_thread(render, shown)
        time_s = revision.ts // 1000
        branch = f"{BRANCHES}{time_s}-{newest}"
        message = _message(critique, self._did, cids)
        commit, _ = await remote.push(branch, files, author=self._author, message=message, time_s=time_s)
        return Pushed(branch, commit, cids), text

    def _checked(self, playbook: str | None) -> Remote:
        if self._remote is None:
            raise GitNotConfigured("no Git repository is configured")
        if playbook not in (None, self._config.playbook):
            raise GitNotConfigured(f"the Git repository is for the playbook {self._config.playbook!r}")
        return self._remote

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note how an attempt ends."""
        try:
            yield
        except (GitUnreachable, GitRefused) as error:
            self.failing = str(error)
            self.counters["git_failures"] += 1
            raise
        self.failing = None

    async def _whole(self) -> Playbook:
        playbook = await self._hive.view(self._config.playbook)
        if playbook.provisional:
            raise RevisionRefused(f"the history of the playbook {playbook.name!r} is still being fetched")
        return playbook

    async def _ours_since(self, seq: int) -> tuple[int, list[tuple[Cid, Revision]]]:
        """Our adopted revisions that came after `seq` and improve something, oldest first; and the newest number."""
        name, newest = self._config.playbook, seq
        found: list[tuple[Cid, Revision]] = []
        after: str | None = None
        while True:
            page = await self._database.read(
                lambda conn, after=after: rows.list_revisions(conn, name, limit=_PAGE, after=after)  # type: ignore[misc]
            )
            for row in page.items:
                if row.seq <= seq:
                    return newest, found[::-1]
                newest = max(newest, row.seq)
                if row.author == self._did and row.status == "adopted":
                    try:
                        revision = (await self._hive.stored(name, row.cid)).revision
                    except RevisionUnknown as error:
                        logger.warning("Git: a revision of ours cannot be pushed: %s", error)
                        continue
                    if _improves(revision):
                        found.append((row.cid, revision))
            if page.next is None:
                return newest, found[::-1]
            after = page.next


def _improves(revision: Revision) -> bool:
    """Whether a revision changes more than counters, and does not come out of the repository itself."""
    if any(isinstance(item, str) and item.startswith(FROM_GIT) for item in revision.evidence):
        return False
    return any(not isinstance(op, Helpful | Harmful | Metric) for op in revision.ops)


def _joined(critiques: Sequence[str]) -> str:
    """The critiques of several revisions, the newest first, each once."""
    return fields.clean_and_cut("\n\n".join(dict.fromkeys(critiques[::-1])), limits.MAX_TEXT_BYTES)


def _message(critique: str, twin: Did, revisions: Sequence[Cid]) -> str:
    """A commit message: a short first line, the whole critique if it is longer, and who did what."""
    first = critique.split("\n", 1)[0][:_SUBJECT_CHARS] or "What this twin learnt"
    body = [] if first == critique else [critique, ""]
    return "\n".join([first, "", *body, f"Twin: {twin}", *(f"Revision: {cid}" for cid in revisions)]) + "\n"


def _local(url: str) -> str:
    return str(Path(url).expanduser()) if url.startswith("~") else url
