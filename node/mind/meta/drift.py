"""Case 5: goals go worse than they should. Traces are exported for fine-tuning, and a new model is told of.

The original: coherence below 0.85: export 500 traces as JSONL for fine-tuning, take the new model version. Here a model
becomes the twin's by the owner's own choice (`pagi model use`); once it is another than the one whose traces were
exported, the playbook is told the new version, as `[optimization] model_version`.
"""

from typing import Final

from node.inference.engine import ModelSource
from node.mind.meta.case import Finding, Outlook, Taken
from node.mind.meta.exporting import Exporting
from node.mind.meta.metrics import Metrics
from node.mind.meta.sharing import Playbooks, shared
from node.mind.meta.tuning import Tuning
from storage.meta_learning import MetaAction

COHERENT: Final = 0.85
"""The share of the goals that should go well."""

LAST: Final = 50
LEAST_KNOWN: Final = 20
"""Of the last goals so many must have a known outcome."""

MODEL_VERSION: Final = "optimization.model_version"


class Drift:
    """Looks at how goals went, and at which model is in use."""

    name: Final = "drift"

    def __init__(
        self,
        metrics: Metrics,
        tuning: Tuning,
        exporting: Exporting,
        playbooks: Playbooks,
        *,
        playbook: str,
        model: ModelSource,
    ) -> None:
        self._metrics = metrics
        self._tuning = tuning
        self._exporting = exporting
        self._playbooks = playbooks
        self._playbook = playbook
        self._model = model

    async def look(self) -> Finding | None:
        """A new model after an export, or goals that go badly with one whose traces were not exported yet."""
        engine, exported = await self._model.ready(), self._tuning.get("exported_model")
        if engine is None:
            return None
        model = engine.name
        if exported is not None and exported != model:
            settings = (await self._playbooks.view(self._playbook)).settings
            if settings.get(MODEL_VERSION) != model:
                return Finding(
                    about=f"model {model}",
                    text=f"{model} has come in place of {exported}, whose traces were exported",
                    action=f"tell the playbook {self._playbook} that its model is {model}",
                    measured={},
                    needs={"model": model},
                )
        coherence, known = await self._metrics.coherence(LAST)
        if known < LEAST_KNOWN or coherence >= COHERENT or exported == model:
            return None
        return Finding(
            about=f"traces of {model}",
            text=f"of the last {known} goals {coherence:.0%} went well",
            action="write up to 500 traces to a file for fine-tuning, without secrets and personal data",
            measured={"coherence": round(coherence, 3), "known": known},
            needs={"exported": model},
            harmless=True,
        )

    async def act(self, finding: Finding) -> Taken:
        """Tell the playbook, or write the file."""
        if (model := finding.needs.get("model")) is not None:
            ops = [{"op": "set", "key": MODEL_VERSION, "value": model}]
            undo = await shared(self._playbooks, self._playbook, "Another model answers from now on.", ops)
            return Taken(text=f"the playbook says {model}", undo=undo)
        exported = await self._exporting.export(curated=False)
        undo = await self._tuning.put("exported_model", finding.needs["exported"])
        text = f"{exported.traces} traces are in {exported.path}, {exported.corrected} of them corrected"
        return Taken(text=text, undo={**undo, "file": str(exported.path)})

    async def outlook(self, action: MetaAction) -> Outlook | None:
        """Nothing to compare."""
        return "keep"
