"""Judging with the embedded embedder: what red lines by meaning find, which bullets say the same, and how fast.

The texts are in judging.toml. The thresholds of node/red_lines and node/hive/judging were chosen on the first half of
each list; these figures are of the other half.
"""

import asyncio
import statistics
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.table import Row
from identity.cid import Cid
from identity.did import Did
from identity.multibase import CODEC_DAG_JOSE
from node.hive.judging.alike import MIN_LIKENESS, says_the_same
from node.hive.judging.duplicates import Duplicates
from node.inference.embedder import WordLlamaEmbedder
from node.red_lines.red_lines import DEFAULTS, MIN_MEANING_LIKENESS, pieces_of
from protocols.playbook.merge import EMPTY, Bullet

DATA: Final = Path(__file__).with_name("judging.toml")
MANY: Final = 10_000
MORE: Final = 200


def run(half: Literal["chosen on", "reported"] = "reported") -> list[Row]:
    """Shares in percent, and the time for one more bullet among many."""
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    start = 0 if half == "chosen on" else 1
    embedder = WordLlamaEmbedder()
    return [*_meanings(data, start, embedder), *_pairs(data, start, embedder), _one_more(embedder)]


def _meanings(data: dict[str, Any], start: int, embedder: WordLlamaEmbedder) -> list[Row]:
    lines = embedder.embed([text for kind, text in DEFAULTS if kind == "meaning"])

    def hits(texts: Sequence[str]) -> list[bool]:
        return [float((embedder.embed(pieces_of(text)) @ lines.T).max()) >= MIN_MEANING_LIKENESS for text in texts]

    crossing = [text for one in data["crossing"] for text in one["texts"][start::2]]
    return [
        _row("crosses a red line in other words: found", hits(crossing), "higher"),
        _row("honest, about something else: waits for the owner", hits(data["honest"]["usual"][start::2]), "lower"),
        _row("honest, about the same things: waits for the owner", hits(data["honest"]["near"][start::2]), "lower"),
    ]


def _pairs(data: dict[str, Any], start: int, embedder: WordLlamaEmbedder) -> list[Row]:
    rows = []
    for name, title, better in (
        ("same", "say the same: shown as one", "higher"),
        ("different", "look alike, say another thing: shown as one", "lower"),
    ):
        pairs = data[name]["pairs"][start::2]
        likeness = [float(a @ b) for a, b in (embedder.embed(pair) for pair in pairs)]
        ours = [says_the_same(*pair, alike) for pair, alike in zip(pairs, likeness, strict=True)]
        peer = [alike >= MIN_LIKENESS for alike in likeness]
        percent = 100 * sum(peer) / len(peer)
        rows.append(
            Row(title, 100 * sum(ours) / len(ours), percent, "%", "likeness alone", better, "")  # type: ignore[arg-type]
        )
    return rows


def _one_more(embedder: WordLlamaEmbedder) -> Row:
    """The median time in which one more bullet is compared with all the others."""
    cid = Cid.of(CODEC_DAG_JOSE, b"")

    def bullet(n: int, text: str) -> Bullet:
        return Bullet(f"b{n}", "manners", text, (), 0, 0, Did("did:key:z"), cid)

    async def main() -> float:
        found, empty = Duplicates(embedder), EMPTY("common")
        many = [bullet(n, f"rule {n} about {n * 7919 % 997} and {n * 104729 % 991}") for n in range(MANY)]
        await found.pairs(empty, many, keep=True)
        times = []
        for n in range(MORE):
            began = time.perf_counter()
            await found.pairs(empty, [bullet(MANY + n, f"name the unit of number {n}")], keep=True)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    return Row(f"one more bullet among {MANY:,}", asyncio.run(main()) * 1000, None, "ms", "", "lower", "")


def _row(name: str, hits: Sequence[bool], better: Literal["higher", "lower"]) -> Row:
    return Row(name, 100 * sum(hits) / len(hits), None, "%", "", better, "")
