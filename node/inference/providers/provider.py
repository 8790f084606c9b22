"""One model that may be asked, as the gateway sees it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from node.inference.breaker import Breaker
from node.inference.engine import Engine
from node.inference.errors import GatewayError
from node.inference.usage import FREE, Price


@dataclass(slots=True, kw_only=True)
class Provider:
    """`engine()` gives None where it cannot be asked, and `reason()` says why. `kind` is what it speaks, and its name
    in telemetry; `address` its host and port, None for what runs in this process. `sees_private`: the owner lets it
    see private memories. Without a breaker it is always asked."""

    name: str
    kind: str
    engine: Callable[[], Engine | None]
    reason: Callable[[], str | None]
    sees_private: bool
    address: tuple[str, int] | None = None
    price: Price = FREE
    breaker: Breaker | None = field(default_factory=Breaker)
    trouble: GatewayError | None = None
    """What it answered last, where that was no answer."""
