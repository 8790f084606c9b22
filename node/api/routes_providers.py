"""Providers of models: which there are, in which order they are asked, and how each one is.

A key goes in and never comes out.
"""

from typing import Annotated, Literal

from pydantic import Field

from identity.errors import PagiError
from node.api.router import Routes
from node.api.wire import Distinct, Integral, OneLine, Wire
from node.inference.errors import InferenceError
from node.inference.gateway import LOCAL
from node.inference.providers.provider import Provider
from node.inference.providers.registry import MAX_PROVIDERS
from node.inference.providers.sealing import MAX_KEY_CHARS
from node.twin import Twin
from storage.providers import ProviderRow

routes = Routes("providers")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
MAX_CONTEXT_TOKENS = 100_000_000
MAX_PRICE = 1_000_000.0


class ProviderSettings(Wire):
    """`base_url` ends before `/chat/completions` (kind `openai`) or before `/v1/messages` (kind `anthropic`).
    `sees_private` lets it see private memories; `capable` says that it is large enough to choose tools and to plan.
    Prices are per million tokens, in the currency of your budget."""

    kind: Literal["openai", "anthropic"] = "openai"
    base_url: Annotated[str, Field(min_length=1, max_length=512), OneLine]
    model: Annotated[str, Field(min_length=1, max_length=200), OneLine]
    key: Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS)] | None = None
    sees_private: bool = False
    capable: bool = True
    context_tokens: Annotated[int, Field(ge=512, le=MAX_CONTEXT_TOKENS), Integral] = 32_768
    price_in: Annotated[float, Field(ge=0, le=MAX_PRICE, allow_inf_nan=False)] = 0.0
    price_out: Annotated[float, Field(ge=0, le=MAX_PRICE, allow_inf_nan=False)] = 0.0


class NewProvider(ProviderSettings):
    name: Name


class ProviderOrder(Wire):
    """Those that are not named come after the others, as they were."""

    order: Annotated[list[Name], Field(max_length=MAX_PROVIDERS), Distinct]


class ProviderOut(Wire):
    """`state` is `ready`, `resting` (it failed, and is left alone for a while), `loading` or `absent`; `reason` says
    why it is not ready, or what it answered last where that was no answer. The last one is the local model."""

    name: str
    kind: str
    base_url: str | None
    model: str | None
    has_key: bool
    sees_private: bool
    capable: bool
    context_tokens: int
    price_in: float
    price_out: float
    state: Literal["ready", "resting", "loading", "absent"]
    reason: str | None


class ProviderList(Wire):
    items: list[ProviderOut]
    next: None = None


class ProviderRemoved(Wire):
    name: str


class ProviderTested(Wire):
    """`code`, `reason` and `hint` are those of the error, where there is one."""

    name: str
    ok: bool
    model: str | None
    answer: str | None
    ms: float | None
    code: int | None
    reason: str | None
    hint: str | None


@routes.add("GET", "/v1/providers", "The models that may be asked, in the order in which they are.")
async def list_providers(twin: Twin) -> ProviderList:
    return _list(twin)


@routes.add("POST", "/v1/providers", "A further provider, at the end of the order.")
async def add(twin: Twin, body: NewProvider) -> ProviderOut:
    await twin.inference.providers.add(_row(body.name, body), body.key)
    return _named(twin, body.name)


@routes.add("PUT", "/v1/providers", "The order in which the providers are asked. The local model is always the last.")
async def order(twin: Twin, body: ProviderOrder) -> ProviderList:
    await twin.inference.providers.order(body.order)
    return _list(twin)


@routes.add("PUT", "/v1/providers/{name}", "Replace the settings of a provider; without a key it keeps the one it has.")
async def change(twin: Twin, name: str, body: ProviderSettings) -> ProviderOut:
    await twin.inference.providers.change(_row(name, body), body.key)
    return _named(twin, name)


@routes.add("DELETE", "/v1/providers/{name}", "Forget a provider and its key.")
async def remove(twin: Twin, name: str) -> ProviderRemoved:
    await twin.inference.providers.remove(name)
    return ProviderRemoved(name=name)


@routes.add("POST", "/v1/providers/{name}/test", "Ask a provider, or `local`, for one word, and see what it answers.")
async def test(twin: Twin, name: str) -> ProviderTested:
    try:
        answer = await twin.gateway.test(name)
    except InferenceError as error:
        if error.code // 100 == 404:
            raise
        return _tested(name, error)
    return ProviderTested(
        name=name,
        ok=True,
        model=answer.model,
        answer=answer.text[:200],
        ms=answer.ms,
        code=None,
        reason=None,
        hint=None,
    )


def _tested(name: str, error: PagiError) -> ProviderTested:
    return ProviderTested(
        name=name,
        ok=False,
        model=None,
        answer=None,
        ms=None,
        code=error.code,
        reason=str(error),
        hint=error.hint,
    )


def _row(name: str, settings: ProviderSettings) -> ProviderRow:
    return ProviderRow(
        name=name,
        kind=settings.kind,
        base_url=settings.base_url,
        model=settings.model,
        sees_private=settings.sees_private,
        capable=settings.capable,
        context_tokens=settings.context_tokens,
        price_in=settings.price_in,
        price_out=settings.price_out,
        sealed_key=None,
    )


def _list(twin: Twin) -> ProviderList:
    rows = {row.name: row for row in twin.inference.providers.rows}
    return ProviderList(items=[_out(twin, one, rows.get(one.name)) for one in twin.gateway.providers])


def _named(twin: Twin, name: str) -> ProviderOut:
    rows = {row.name: row for row in twin.inference.providers.rows}
    return next(_out(twin, one, rows[name]) for one in twin.gateway.providers if one.name == name)


def _out(twin: Twin, provider: Provider, row: ProviderRow | None) -> ProviderOut:
    engine = provider.engine()
    loading = provider.name == LOCAL and twin.model.loading
    state: Literal["ready", "resting", "loading", "absent"] = "ready"
    if engine is None:
        state = "loading" if loading else "absent"
    elif twin.gateway.rests_s(provider):
        state = "resting"
    return ProviderOut(
        name=provider.name,
        kind=provider.kind,
        base_url=None if row is None else row.base_url,
        model=row.model if row is not None else None if engine is None else engine.name,
        has_key=row is not None and row.sealed_key is not None,
        sees_private=provider.sees_private,
        capable=engine is not None and engine.capable,
        context_tokens=engine.context_tokens if engine is not None else 0 if row is None else row.context_tokens,
        price_in=provider.price.prompt,
        price_out=provider.price.answer,
        state=state,
        reason=provider.reason() or (None if provider.trouble is None else str(provider.trouble)),
    )
