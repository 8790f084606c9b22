"""What a benchmark reports, and how it is shown: a table for people, one JSON document for programs, and a Markdown
table for the document that holds the figures."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self

from rich.console import Console
from rich.table import Table

FILE_COLUMNS = 140
"""The width of a table that goes into a file or a pipe."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours, beside the peer's if there is one. `aim` says in words what it should reach.

    Where several peers were measured, the row shows the best, and `peers` holds the figure of each, for `--json`.
    """

    name: str
    ours: float
    peer: float | None
    unit: str
    peer_name: str
    better: Literal["higher", "lower"]
    aim: str
    peers: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def against(cls, name: str, ours: float, peers: Mapping[str, float], *, unit: str, aim: str) -> Self:
        """The row of a rate, beside the best of `peers`; there may be none."""
        best = max(peers, key=peers.__getitem__, default="")
        return cls(name, ours, peers.get(best), unit, best, "higher", aim, peers)

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the peer's: over 1 is better, whichever way the figure counts."""
        if not self.peer or not self.ours:
            return None
        return self.ours / self.peer if self.better == "higher" else self.peer / self.ours


def machine() -> dict[str, object]:
    """What the figures depend on and the code does not say."""
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def as_json(name: str, rows: Sequence[Row]) -> str:
    """The whole result as one JSON document."""
    figures = [{**asdict(row), "ratio": row.ratio} for row in rows]
    return json.dumps({"benchmark": name, "machine": machine(), "rows": figures}, indent=2)


def as_markdown(rows: Sequence[Row]) -> str:
    """The result as a Markdown table, with the machine below it; without the peer's columns if there is no peer."""
    lonely = all(row.peer is None for row in rows)
    columns = ["What", "Ours", "Unit"] if lonely else ["What", "Ours", "Peer", "Unit", "Ratio", "Peer is", "Aim"]
    lines = [columns, ["---:" if column in ("Ours", "Peer", "Ratio") else "---" for column in columns]]
    for row in rows:
        cells = _cells(row)
        lines.append([*cells[:2], row.unit] if lonely else cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{_machine_line()}\n"


def put_into(path: Path, name: str, rows: Sequence[Row]) -> None:
    """Replace what stands in `path` between the lines `<!-- NAME -->` and `<!-- end -->`. Raises ValueError if they
    are not there."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no place for {name}: the lines {begin.strip()} and {end}")
    path.write_text(f"{before}{begin}{as_markdown(rows)}{end}{after}", encoding="utf-8")


def show(name: str, rows: Sequence[Row]) -> None:
    """Print the result as a table, with the machine below it."""
    table = Table(title=name)
    table.add_column("What")
    table.add_column("Ours", justify="right")
    table.add_column("Peer", justify="right")
    table.add_column("Unit")
    table.add_column("Ratio", justify="right")
    table.add_column("Peer is")
    table.add_column("Aim")
    for row in rows:
        table.add_row(*_cells(row))
    console = Console()
    if not console.is_terminal:
        console.width = FILE_COLUMNS
    console.print(table)
    console.print(_machine_line(), highlight=False)


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        _figure(row.ours),
        "–" if row.peer is None else _figure(row.peer),
        row.unit,
        "–" if row.ratio is None else f"{row.ratio:.2f}",
        row.peer_name,
        row.aim,
    ]


def _machine_line() -> str:
    return ", ".join(f"{fact} {value}" for fact, value in machine().items())


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
