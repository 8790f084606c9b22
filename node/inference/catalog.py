"""The models of one twin: brought here from a file, a hub or another twin; listed, used and removed.

A model counts only when its file is whole, on disk and checked; then its record is made. So after a crash there is a
download that goes on, or a file that the same command finds; and a record whose file is gone is shown as such.
"""

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from identity.errors import PagiError
from node.clock import now_ms
from node.inference.choice import Choice, remember_choice
from node.inference.downloading import PAUSE_S, Half, Progress, Report, Wanted, bring, digest, drop, halves
from node.inference.errors import (
    ModelBusy,
    ModelDamaged,
    ModelInUse,
    ModelMissing,
    ModelNameTaken,
    ModelNotNamed,
    ModelUnknown,
)
from node.inference.gguf import GgufFacts, read_facts
from node.inference.local import LocalModel
from node.inference.models import SMOLLM2, cache_folder, ensure_bundled
from node.inference.sources import Coming, Sources, is_far
from storage import models as records
from storage.database import Database
from storage.models import ModelRow, NewModel
from storage.page import Page

logger = logging.getLogger(__name__)

BUNDLED: Final = "bundled"
NONE: Final = "none"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

State = Literal["here", "missing", "changed"]
"""Of a record's file: as it was added, gone, or of another length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model and how it is here. `in_use`: it answers now."""

    row: ModelRow
    state: State
    in_use: bool


class Catalog:
    """The models of one twin. `prove` raises ModelUnloadable for a file that must not be loaded here; `on_news` is
    called when there is a new one, `on_removal` before one is forgotten."""

    def __init__(
        self,
        *,
        folder: Path,
        database: Database,
        model: LocalModel,
        sources: Sources,
        configured: Callable[[], str],
        prove: Callable[[Path], Awaitable[None]],
        on_news: Callable[[], None],
        on_removal: Callable[[ModelRow], Awaitable[None]],
    ) -> None:
        self._folder = folder
        self._database = database
        self._model = model
        self._sources = sources
        self._configured = configured
        self._prove = prove
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._on_news = on_news
        self._on_removal = on_removal

    async def list(self, *, limit: int, after: str | None = None) -> Page[Listed]:
        """The bundled model, then those that were added, oldest first. Raises BadCursor."""
        page = await self._database.read(lambda conn: records.list_models(conn, limit=limit, after=after))
        rows = page.items if after is not None else (_bundled_row(), *page.items)
        return Page(tuple([await self._listed(row) for row in rows]), page.next)

    async def get(self, name: str) -> Listed:
        """The model of this name. Raises ModelUnknown."""
        row = await self._row(name)
        if row is None:
            raise ModelUnknown(f"no model is called {name[:64]!r}")
        return await self._listed(row)

    async def begun(self) -> tuple[Half, ...]:
        """Downloads that have not come to their end; adding the source by the name again goes on with them."""
        return tuple(await asyncio.to_thread(halves, self._folder))

    async def add(
        self, source: str, *, name: str | None = None, sha256: str | None = None, report: Report = lambda _: None
    ) -> Listed:
        """Bring a model here: the whole path of a GGUF file, OWNER/REPO[:FILE] of the hub, ipfs:CID, or `bundled`.

        `sha256` is what the file must have. Cancelling keeps what has come; the same call goes on with it. Raises
        ModelNotNamed, ModelMissing, NotAModel, ModelDamaged, ModelNameTaken, ModelTooLarge, HubRefused, HubUnreachable.
        """
        if name is not None:
            _check_name(name)
        if source == BUNDLED:
            await fetch_bundled(report)
            return await self.get(BUNDLED)
        if is_far(source):
            coming = await self._sources.find(source, sha256)
            return await self._fetch(name or _name_from(coming.stem), coming, report)
        return await self._take_file(Path(source), name, sha256, report)

    async def use(self, name: str, *, report: Report = lambda _: None) -> None:
        """Let this model answer, now and after the next start: a name, `bundled` or `none`.

        The present one answers until the new one is loaded, and stays if that fails: raises ModelUnknown, ModelMissing,
        ModelUnloadable.
        """
        path = await self._file_of(name, report)
        if path is not None and name != BUNDLED:
            await self._prove(path)

        def remember() -> None:
            choice = Choice(model=name if name in (BUNDLED, NONE) else str(path), instead_of=self._configured())
            remember_choice(self._folder, choice)

        await self._model.use(path, remember)  # also where it is the present one: its file may be another now

    async def _file_of(self, name: str, report: Report) -> Path | None:
        if name == NONE:
            return None
        if name == BUNDLED:
            return await fetch_bundled(report)
        listed = await self.get(name)
        if listed.state != "here":
            raise ModelMissing(f"the file {listed.row.path} of {name} is {listed.state}")
        return Path(listed.row.path)

    async def remove(self, name: str) -> None:
        """Forget a model, and what was begun of one; a file that was fetched goes too, one of the owner's stays.

        Raises ModelInUse, ModelBusy, ModelUnknown, and ModelNotNamed for the bundled one, which all twins of this user
        share.
        """
        if name == BUNDLED:
            raise ModelNotNamed(f"the bundled model belongs to all your twins: its file is {bundled_path()}")
        if self._one_at_a_time[name].locked():
            raise ModelBusy(f"the model {name} is being brought here or removed now")
        async with self._one_at_a_time[name]:
            row = await self._row(name)
            if row is not None and self._model.uses(Path(row.path)):
                raise ModelInUse(f"the model {name} answers now, or is being loaded")
            dropped = _NAME.fullmatch(name) is not None and await asyncio.to_thread(drop, self._target(name))
            if row is None and not dropped:
                raise ModelUnknown(f"no model is called {name[:64]!r}")
            if row is None:
                return
            if row.own_file:
                await asyncio.to_thread(Path(row.path).unlink, missing_ok=True)
            await self._on_removal(row)
            await self._database.write(lambda conn: records.remove(conn, name))

    async def _fetch(self, name: str, coming: Coming, report: Report) -> Listed:
        target = self._target(name)
        async with self._one_at_a_time[name]:
            known = await self._row(name)
            if known is not None and known.source != coming.wanted.source and known.sha256 != coming.wanted.sha256:
                raise ModelNameTaken(f"the model {name} is from {known.source}")
            expected = coming.wanted.sha256 or (known.sha256 if known is not None else None)
            sha256 = await _sound(target, coming.wanted, expected, report)
            if sha256 is None:
                sha256 = await bring(coming.pieces_from, coming.wanted, target, report, pause_s=PAUSE_S)
            try:
                facts = await asyncio.to_thread(read_facts, target)
            except PagiError:
                await asyncio.to_thread(target.unlink)  # whole, and yet no model
                raise
            if known is not None and known.sha256 != sha256:
                await self._on_removal(known)
            return await self._keep(
                NewModel(
                    name=name,
                    source=coming.wanted.source,
                    path=str(target),
                    own_file=True,
                    size_bytes=facts.size_bytes,
                    sha256=sha256,
                    parameters=facts.parameters,
                    weights=facts.weights,
                    licence=facts.licence or coming.licence,
                    licence_url=facts.licence_url or coming.licence_url,
                )
            )

    async def _take_file(self, path: Path, name: str | None, sha256: str | None, report: Report) -> Listed:
        """A file of the owner's stays where it is."""
        if not path.is_absolute() or not await asyncio.to_thread(path.is_file):
            raise ModelNotNamed(f"{str(path)[:200]} is no file here, and no OWNER/REPO:FILE")
        facts = await asyncio.to_thread(read_facts, path)
        try:
            found = await digest(path, facts.size_bytes, report)
        except OSError as error:
            raise ModelMissing(f"cannot read the model {path}: {error.strerror or error}") from error
        if sha256 not in (None, found):
            raise ModelDamaged(f"{path.name} has the SHA-256 {found}, not {sha256}")
        chosen = name or _name_from(path.stem)
        async with self._one_at_a_time[chosen]:
            known = await self._row(chosen)
            if known is not None and known.sha256 != found:
                raise ModelNameTaken(f"the model {chosen} is from {known.source}")
            if known is not None and known.own_file and (listed := await self._listed(known)).state == "here":
                return listed  # it was fetched before: the file in the home is as good
            return await self._keep(_of_file(chosen, path, facts, found))

    async def _keep(self, model: NewModel) -> Listed:
        when = now_ms()
        await self._database.write(lambda conn: records.put(conn, model, when))
        logger.info("the model %s is here: %s", model.name, model.path)
        self._on_news()
        return await self.get(model.name)

    async def _row(self, name: str) -> ModelRow | None:
        if name == BUNDLED:
            return _bundled_row()
        return await self._database.read(lambda conn: records.get(conn, name))

    async def _listed(self, row: ModelRow) -> Listed:
        state = await asyncio.to_thread(_state_of, row)
        return Listed(row=row, state=state, in_use=row.path == str(self._model.path))

    def _target(self, name: str) -> Path:
        return self._folder / f"{name}.gguf"


def _bundled_row() -> ModelRow:
    """The bundled model as if it had been added: it has no record, and is not shared as every twin can fetch it."""
    return ModelRow(
        seq=0,
        name=BUNDLED,
        source=SMOLLM2.requirement,
        path=str(bundled_path()),
        own_file=False,
        size_bytes=SMOLLM2.size_bytes,
        sha256=SMOLLM2.sha256,
        parameters=SMOLLM2.parameters,
        weights=SMOLLM2.weights,
        licence=SMOLLM2.licence,
        licence_url=None,
        cid=None,
        share_error=None,
        added_ms=0,
    )


def bundled_path() -> Path:
    """Where the bundled model's file is, once it was fetched: all twins of this user share it."""
    return cache_folder() / SMOLLM2.file_name


async def fetch_bundled(report: Report) -> Path:
    """Have the bundled model's file here. Raises ModelMissing, ModelDamaged."""
    return await ensure_bundled(lambda done, total: report(Progress("fetching", done, total or done)))


async def _sound(target: Path, wanted: Wanted, sha256: str | None, report: Report) -> str | None:
    """The SHA-256 of the file at `target`, if it is the one that is wanted."""
    same_size = await asyncio.to_thread(lambda: target.is_file() and target.stat().st_size == wanted.size_bytes)
    if sha256 is None or not same_size:
        return None
    return sha256 if await digest(target, wanted.size_bytes, report) == sha256 else None


def _of_file(name: str, path: Path, facts: GgufFacts, sha256: str) -> NewModel:
    return NewModel(
        name=name,
        source="file",
        path=str(path),
        own_file=False,
        size_bytes=facts.size_bytes,
        sha256=sha256,
        parameters=facts.parameters,
        weights=facts.weights,
        licence=facts.licence,
        licence_url=facts.licence_url,
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in (BUNDLED, NONE):
        raise ModelNotNamed(f"{name[:64]!r} cannot be a model's name: letters, digits and . _ - (at most 64)")


def _name_from(stem: str) -> str:
    """A name from that of a file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "model"
    return f"{name}-file" if name in (BUNDLED, NONE) else name


def _state_of(row: ModelRow) -> State:
    try:
        size_bytes = Path(row.path).stat().st_size
    except OSError:
        return "missing"
    return "here" if size_bytes == row.size_bytes else "changed"
