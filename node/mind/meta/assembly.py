"""The parts of meta-learning, made with explicit constructors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.clock import NowMs
from node.config import MindConfig
from node.ground import Ground
from node.hive.hive import Hive
from node.hive.judging.gate import Attempt
from node.inference.engine import ModelSource
from node.mind.learning.guiding import Guiding
from node.mind.meta.alignment import Alignment
from node.mind.meta.case import Case
from node.mind.meta.curation import Curation
from node.mind.meta.decomposition import Decomposition
from node.mind.meta.drift import Drift
from node.mind.meta.exporting import Exporting
from node.mind.meta.load_balance import LoadBalance
from node.mind.meta.meta_learner import MetaLearner
from node.mind.meta.metrics import Metrics
from node.mind.meta.novel_task import NovelTask
from node.mind.meta.redundancy import Redundancy
from node.mind.meta.refusals import Refusals
from node.mind.meta.teams import Teams
from node.mind.meta.transfer import Transfer
from node.mind.meta.tuning import Tuning
from node.mind.meta.undoing import Undoing
from node.reputation.reputation import Reputation


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaParts:
    """What the rest of the node uses of it."""

    metrics: Metrics
    exporting: Exporting
    learner: MetaLearner


def assemble_meta(
    ground: Ground,
    config: MindConfig,
    *,
    tuning: Tuning,
    hive: Hive,
    guiding: Guiding,
    model: ModelSource,
    attempt: Attempt,
    reputation: Reputation,
    exports: Path,
    check: Callable[[], None],
    now: NowMs,
) -> MetaParts:
    """The ten cases and who lets them act; nothing runs yet. `exports` is the folder for traces. What `check` raises
    keeps them from acting."""
    database, playbook = ground.database, config.playbook
    metrics = Metrics(database, now=now)
    exporting = Exporting(database, metrics, exports, now=now)
    cases: tuple[Case, ...] = (
        LoadBalance(metrics, tuning),
        NovelTask(metrics, tuning, guiding, hive, attempt),
        Refusals(metrics, tuning, hive.red_lines),
        Transfer(database, tuning, hive),
        Drift(metrics, tuning, exporting, hive, playbook=playbook, model=model),
        Teams(database, metrics, hive, playbook=playbook),
        Alignment(ground.own.did, hive, reputation, playbook=playbook),
        Decomposition(metrics, tuning, guiding),
        Curation(metrics, exporting),
        Redundancy(metrics, tuning),
    )
    learner = MetaLearner(
        database=database,
        events=ground.events,
        undoing=Undoing(tuning, hive),
        cases=cases,
        mode=config.meta_learning,
        check=check,
        now=now,
    )
    return MetaParts(metrics=metrics, exporting=exporting, learner=learner)
