"""The gateway: one Engine over every model that this twin may use, in the owner's order, the local one last."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from node.inference.engine import ChatRequest, Completion, Engine
from node.inference.errors import InferenceUnavailable
from node.inference.local import LocalModel


class Gateway:
    """An Engine, and the source of it: the mind holds this and never a single model."""

    def __init__(self, local: LocalModel) -> None:
        self._local = local

    @property
    def loading(self) -> bool:
        """See ModelSource."""
        return self._local.loading

    @property
    def reason(self) -> str | None:
        """See ModelSource."""
        return self._local.reason

    @property
    def name(self) -> str:
        """The model that would be asked first."""
        return self._local.engine.name if self._local.engine is not None else "none"

    @property
    def capable(self) -> bool:
        """Whether the model that would be asked first is."""
        return self._local.engine is not None and self._local.engine.capable

    @property
    def context_tokens(self) -> int:
        """See Engine."""
        return self._local.engine.context_tokens if self._local.engine is not None else 0

    async def ready(self) -> Engine | None:
        """See ModelSource."""
        return self if await self._local.ready() is not None else None

    async def complete(self, request: ChatRequest) -> Completion:
        """See Engine."""
        return await self._engine().complete(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
        """See Engine."""
        async with aclosing(self._engine().stream(request)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    async def aclose(self) -> None:
        """The models belong to whoever opened them."""

    def _engine(self) -> Engine:
        if self._local.engine is None:
            raise InferenceUnavailable(f"there is no model here: {self._local.reason}")
        return self._local.engine
