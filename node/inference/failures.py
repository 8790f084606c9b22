"""What kept each provider from answering one request: a note beside the answer of a later one, or the error.

Pure.
"""

from dataclasses import dataclass, replace

from node.inference.engine import Completion
from node.inference.errors import (
    AllProvidersFailed,
    BadInferenceRequest,
    BudgetExhausted,
    GatewayError,
    GoalTooLong,
    InferenceError,
    InferenceUnavailable,
    RateLimited,
)
from node.inference.governor import GOVERNOR, Held
from node.inference.providers.errors import ProviderLimited


@dataclass(frozen=True, slots=True)
class _Failure:
    name: str
    reason: str
    error: InferenceError | None
    """What it answered; None where it was not asked."""


class Failures:
    """Collects them in the order in which the providers were tried."""

    def __init__(self) -> None:
        self._found: list[_Failure] = []
        self._held: list[Held] = []

    def not_asked(self, name: str, reason: str, trouble: InferenceError | None = None) -> None:
        """It was passed over. `trouble` is what it answered before, where that is why."""
        if not self._found or self._found[-1].name != name:
            self._found.append(_Failure(name, reason, trouble))

    def failed(self, name: str, error: InferenceError) -> None:
        """It was asked, perhaps several times; only its last answer counts."""
        if self._found and self._found[-1].name == name:
            self._found.pop()
        self._found.append(_Failure(name, str(error), error))

    def held(self, held: Held) -> None:
        """The governor did not let it be asked."""
        self._held.append(held)

    def noted(self, completion: Completion, name: str) -> Completion:
        """The answer of provider `name`, which says so if another one was to answer."""
        asked = [failure for failure in self._found if failure.error is not None and failure.name != name]
        if not asked:
            return completion
        return replace(completion, note=f"{name} answered, because of {_listed(asked)}")

    def throttled(self, *, shown: bool) -> Completion | None:
        """What is answered in the place of a model that may not be asked now; None if that is not the reason, or if
        the answer is not shown to a person, but read as if a model had given it."""
        if not shown or not self._held or any(held.state == "critical" for held in self._held):
            return None
        why = self._held[-1].why
        text = f"The budget governor holds this back: {why}. `pagi budget` shows what was used."
        return Completion(text=text, model=GOVERNOR, prompt_tokens=0, completion_tokens=0, ms=0.0, note=why)

    def error(self) -> InferenceError:
        """The error of a request that nobody answered."""
        if self._held:
            worst = next((held for held in self._held if held.state == "critical"), self._held[-1])
            return BudgetExhausted(worst.why)
        errors = [failure.error for failure in self._found if failure.error is not None]
        if not errors:
            only = self._found[0].reason if len(self._found) == 1 else _listed(self._found)
            return InferenceUnavailable(f"there is no model here: {only}")
        if all(isinstance(error, GoalTooLong | BadInferenceRequest) for error in errors):
            return errors[-1]
        if len(errors) == 1 and not isinstance(errors[0], GatewayError):
            return errors[0]
        if all(isinstance(error, ProviderLimited) for error in errors):
            return RateLimited(_listed(self._found))
        return AllProvidersFailed(f"no model answered: {_listed(self._found)}")


def _listed(failures: list[_Failure]) -> str:
    return "; ".join(f"{failure.name}: {failure.reason}" for failure in failures)
