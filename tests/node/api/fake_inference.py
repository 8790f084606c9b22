"""Inference without a database: the real gateway over a scripted model, and a list of providers in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from node.config import BudgetLimits
from node.inference.gateway import Gateway
from node.inference.governor import Tally
from node.inference.local import LocalModel
from node.inference.providers.errors import ProviderExists, ProviderInvalid, ProviderUnknown
from node.inference.providers.provider import Provider
from node.inference.usage import Price
from storage.page import Page
from storage.providers import ProviderRow
from storage.usage import UsageRow
from tests.node.inference.fake import ScriptedEngine
from tests.node.memory.fake import WordEmbedder


class FakeProviders:
    """Each answers with the last turn's words; one whose model is `absent` cannot be asked."""

    def __init__(self) -> None:
        self.rows: tuple[ProviderRow, ...] = ()

    def in_order(self) -> Sequence[Provider]:
        return [_opened(row) for row in self.rows]

    async def add(self, row: ProviderRow, key: str | None) -> None:
        if not row.base_url.startswith("http"):
            raise ProviderInvalid("the base URL is none")
        if any(one.name == row.name for one in self.rows):
            raise ProviderExists(f"there is a provider {row.name!r}")
        self.rows = (*self.rows, replace(row, sealed_key=b"sealed" if key else None))

    async def change(self, row: ProviderRow, key: str | None) -> None:
        held = self._row(row.name)
        changed = replace(row, sealed_key=b"sealed" if key else held.sealed_key)
        self.rows = tuple(changed if one.name == row.name else one for one in self.rows)

    async def remove(self, name: str) -> None:
        self._row(name)
        self.rows = tuple(row for row in self.rows if row.name != name)

    async def order(self, names: Sequence[str]) -> None:
        first = [self._row(name) for name in names]
        self.rows = (*first, *(row for row in self.rows if row not in first))

    def _row(self, name: str) -> ProviderRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise ProviderUnknown(f"there is no provider {name!r}")


def _opened(row: ProviderRow) -> Provider:
    engine = ScriptedEngine(name=row.model, context_tokens=row.context_tokens, capable=row.capable)
    return Provider(
        name=row.name,
        kind=row.kind,
        engine=lambda: None if row.model == "absent" else engine,
        reason=lambda: "its key cannot be opened" if row.model == "absent" else None,
        sees_private=row.sees_private,
        price=Price(row.price_in, row.price_out),
    )


class FakeGovernor:
    """Half of the day's tokens are used."""

    throttle_at = 0.9

    async def check(self, session_id: str | None = None) -> str:
        return "throttled" if session_id == "greedy" else "ok"

    async def tallies(self, session_id: str | None = None) -> dict[str, tuple[Tally, BudgetLimits]]:
        found = {
            "day": (Tally(tokens=500, ms=1500, micros=20_000), BudgetLimits(tokens=1000, money=1.5)),
            "twin": (Tally(tokens=900, ms=9000, micros=20_000, calls=1, reserved_tokens=70), BudgetLimits()),
        }
        return {**found, "session": (Tally(), BudgetLimits())} if session_id else found

    async def rows(self, limit: int, after: str | None) -> Page[UsageRow]:
        rows = [
            UsageRow(day="2026-11-20", provider=name, model="m", prompt_tokens=400, completion_tokens=100, ms=1500)
            for name in ("one", "local")
        ]
        start = int(after or 0)
        return Page(tuple(rows[start : start + limit]), str(start + limit) if start + limit < len(rows) else None)


@dataclass
class FakeInference:
    """What `Twin.inference` is. `engine` is the local model."""

    engine: ScriptedEngine = field(default_factory=lambda: ScriptedEngine(name="small.gguf"))

    def __post_init__(self) -> None:
        self.local = LocalModel()
        self.local.settle(self.engine, None)
        self.providers = FakeProviders()
        self.governor = FakeGovernor()
        self.embedder = WordEmbedder()
        self.gateway = Gateway(self.local, remotes=self.providers.in_order)
