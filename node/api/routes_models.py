"""Models of this twin's own: what is here, what answers, and bringing another."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from node.api.router import Routes
from node.api.streaming import send_progress, wants_progress
from node.api.wire import OneLine, PageQuery, Wire, page
from node.inference.catalog import Listed
from node.inference.downloading import Report
from node.inference.gguf import CAPABLE_PARAMETERS
from node.inference.machine import Fit
from node.trace import TRACE_ID
from node.twin import Twin

routes = Routes("models")

MAX_SOURCE_CHARS = 4096

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class NewModel(Wire):
    """`source` is `bundled`, the whole path of a GGUF file on the twin's machine, `OWNER/REPO` or `OWNER/REPO:FILE` of
    the hub (FILE may be a quantisation such as `Q5_K_M`), or `ipfs:CID`. `sha256` is what the file must have."""

    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_CHARS), OneLine]
    name: Name | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class LocalModelOut(Wire):
    """`state` is `here`, `missing` or `changed`, of the file. `cid` is what other twins fetch it by; `share_error` is
    why there is none, where sharing failed. `capable`: large enough to choose tools and to plan."""

    name: str
    source: str
    path: str
    size_bytes: int
    sha256: str
    parameters: int
    weights: str | None
    capable: bool
    licence: str | None
    licence_url: str | None
    cid: str | None
    share_error: str | None
    state: Literal["here", "missing", "changed"]
    in_use: bool


class BegunOut(Wire):
    """A download that has not come to its end: adding `source` by this `name` again goes on with it."""

    name: str
    source: str
    size_bytes: int
    total_bytes: int


class FitOut(Wire):
    """What the model got of this machine. `gpu_layers` is -1 for all; `why` has a sentence for each choice."""

    threads: int
    context_tokens: int
    parallel: int
    gpu_layers: int
    why: list[str]


class NowOut(Wire):
    """What answers now. `name` is None while there is nothing, and `reason` says why."""

    name: str | None
    loading: bool
    reason: str | None
    fit: FitOut | None


class LocalModelPage(Wire):
    now: NowOut
    begun: list[BegunOut]
    items: list[LocalModelOut]
    next: str | None


class Removed(Wire):
    name: str


@routes.add("GET", "/v1/models/local", "Models that are here, what answers now, and downloads that were begun.")
async def list_models(twin: Twin, query: PageQuery) -> LocalModelPage:
    listed = await twin.models.catalog.list(limit=query.limit, after=query.after)
    begun = [
        BegunOut(
            name=half.name,
            source=half.wanted.source,
            size_bytes=half.size_bytes,
            total_bytes=half.wanted.size_bytes,
        )
        for half in await twin.models.catalog.begun()
    ]
    return LocalModelPage(now=_now(twin), begun=begun, **page(listed, _model))


@routes.add(
    "POST",
    "/v1/models/local",
    "Bring a model here. With `Accept: application/x-ndjson` it tells how far it is, a line of JSON at a time.",
)
async def add(twin: Twin, body: NewModel, request: web.Request) -> LocalModelOut | web.StreamResponse:
    async def work(report: Report) -> LocalModelOut:
        added = await twin.models.catalog.add(body.source, name=body.name, sha256=body.sha256, report=report)
        return _model(added)

    if wants_progress(request):
        return await send_progress(request, work, trace_id=TRACE_ID.get() or "")
    return await work(lambda _: None)


@routes.add("GET", "/v1/models/local/{name}", "One model.")
async def show(twin: Twin, name: str) -> LocalModelOut:
    return _model(await twin.models.catalog.get(name))


@routes.add(
    "POST",
    "/v1/models/local/{name}/use",
    "Let this model answer, now and after the next start; `bundled` and `none` are names too. The present one answers"
    " until the new one is loaded. `Accept: application/x-ndjson` as above.",
)
async def use(twin: Twin, name: str, request: web.Request) -> NowOut | web.StreamResponse:
    async def work(report: Report) -> NowOut:
        await twin.models.catalog.use(name, report=report)
        return _now(twin)

    if wants_progress(request):
        return await send_progress(request, work, trace_id=TRACE_ID.get() or "")
    return await work(lambda _: None)


@routes.add("DELETE", "/v1/models/local/{name}", "Forget a model; a file that was fetched goes, one of yours stays.")
async def remove(twin: Twin, name: str) -> Removed:
    await twin.models.catalog.remove(name)
    return Removed(name=name)


def _model(listed: Listed) -> LocalModelOut:
    row = listed.row
    return LocalModelOut(
        name=row.name,
        source=row.source,
        path=row.path,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        parameters=row.parameters,
        weights=row.weights,
        capable=row.parameters >= CAPABLE_PARAMETERS,
        licence=row.licence,
        licence_url=row.licence_url,
        cid=row.cid,
        share_error=row.share_error,
        state=listed.state,
        in_use=listed.in_use,
    )


def _now(twin: Twin) -> NowOut:
    model = twin.models.model
    name = model.engine.name if model.engine is not None else None
    return NowOut(name=name, loading=model.loading, reason=model.reason, fit=_fit(model.fit))


def _fit(fit: Fit | None) -> FitOut | None:
    if fit is None:
        return None
    return FitOut(
        threads=fit.threads,
        context_tokens=fit.context_tokens,
        parallel=fit.parallel,
        gpu_layers=fit.gpu_layers,
        why=list(fit.why),
    )
