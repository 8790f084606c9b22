"""What checking a credential gives: each check by its name, and the errors behind those that failed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from identity.errors import PagiError


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `detail` says what was found, or why it failed; then `error` is the failure."""

    name: str
    ok: bool
    detail: str
    error: PagiError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`valid` only if every check is. `document` is what was checked, None if it could not be read."""

    valid: bool
    checks: tuple[Check, ...]
    document: Mapping[str, Any] | None

    @property
    def errors(self) -> tuple[PagiError, ...]:
        """What made checks fail, in their order."""
        return tuple(check.error for check in self.checks if check.error is not None)

    def to_json(self) -> dict[str, Any]:
        """The answer of `POST /v1/credentials/verify`."""
        return {
            "valid": self.valid,
            "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in self.checks],
            "errors": [{"code": error.code, "detail": str(error), "hint": error.hint} for error in self.errors],
        }


@dataclass(slots=True)
class Report:
    """The checks so far. `prefix` tells the credentials of a presentation apart."""

    checks: list[Check] = field(default_factory=list)
    prefix: str = ""

    @property
    def errors(self) -> list[PagiError]:
        return [check.error for check in self.checks if check.error is not None]

    @contextmanager
    def checking(self, name: str) -> Iterator[list[str]]:
        """Run one check; what is put into the list is its detail. A PagiError inside is the check's failure."""
        details: list[str] = []
        try:
            yield details
        except PagiError as error:
            self.checks.append(Check(self.prefix + name, False, str(error), error))
        else:
            self.checks.append(Check(self.prefix + name, True, "; ".join(details)))

    def below(self, prefix: str) -> "Report":
        """A report of a part, into the same list."""
        return Report(self.checks, prefix)

    def outcome(self, document: Mapping[str, Any] | None) -> Outcome:
        return Outcome(not self.errors, tuple(self.checks), document)
