"""The parts that judging is made of, put together for one node."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from identity.did import did_key
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from node.config import HiveConfig
from node.gossip import Gossip
from node.hive.judging.checks import Checks
from node.hive.judging.duplicates import Duplicates
from node.hive.judging.gate import Attempt
from node.hive.judging.judging import Judging
from node.hive.judging.results import GateResults
from node.hive.judging.trials import Trials
from node.hive.retrieval import Retrieval
from node.inference.embedder import Embedder
from node.inference.engine import ModelSource
from node.inference.gateway import Gateway
from node.inference.local import LocalModel
from node.red_lines.red_lines import RedLines
from node.reputation.reputation import Reputation
from node.trust import TrustList
from storage.blocks import BlockStore
from storage.database import Database


@dataclass(frozen=True, slots=True)
class JudgingParts:
    """What a hive needs to judge, and what the owner's interface shows of it."""

    config: HiveConfig
    red_lines: RedLines
    duplicates: Duplicates
    checks: Checks
    judging: Judging
    trials: Trials
    results: GateResults
    counters: Counter[str]
    model_name: Callable[[], str]

    @classmethod
    def of(
        cls,
        *,
        config: HiveConfig,
        keys: KeyPair,
        database: Database,
        blocks: BlockStore,
        gossip: Gossip,
        trust: TrustList,
        reputation: Reputation,
        embedder: Embedder,
        retrieval: Retrieval,
        model: LocalModel | Gateway,
        attempt: Attempt,
        now: NowMs = now_ms,
    ) -> Self:
        """Every part with an explicit constructor; nothing runs yet."""
        counters: Counter[str] = Counter()
        red_lines = RedLines(database, embedder, now=now)
        duplicates, checks = Duplicates(embedder), Checks(database, embedder, now=now)
        return cls(
            config=config,
            red_lines=red_lines,
            duplicates=duplicates,
            checks=checks,
            judging=Judging(
                own=did_key(keys.public),
                config=config,
                trust=trust,
                reputation=reputation,
                red_lines=red_lines,
                duplicates=duplicates,
                checks=checks,
                no_model=lambda: no_model(model),
                now=now,
            ),
            trials=Trials(database=database, checks=checks, retrieval=retrieval, attempt=attempt),
            results=GateResults(
                keys=keys,
                database=database,
                blocks=blocks,
                gossip=gossip,
                trust=trust,
                reputation=reputation,
                counters=counters,
                now=now,
            ),
            counters=counters,
            model_name=lambda: _name_of(model),
        )


def no_model(model: ModelSource) -> str | None:
    """Why nothing can be tried on this node; None if there is a model, or one is being loaded."""
    return None if model.loading or model.reason is None else f"there is no model here: {model.reason}"


def _name_of(model: LocalModel | Gateway) -> str:
    if isinstance(model, Gateway):
        return model.name
    return model.engine.name if model.engine is not None else "none"
