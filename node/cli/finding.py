"""What the doctor finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from node.cli.command import Call


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `hint` says what to do where the state is not ok."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    hint: str = ""


Check = Callable[[Call], Finding]
