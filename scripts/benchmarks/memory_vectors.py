"""Vectors as memories have them, for `memories`: made like wordllama's of texts, without writing a million texts.

wordllama averages one vector for each token. So each vector here is the average of 6 to 25 token vectors of the real
model: three in five from the 200 words of one of 2,000 subjects, some of which come up far more often than others,
the rest from the whole vocabulary, both by Zipf's law. A query is half of the tokens of one memory and two others.
Such vectors have many neighbours that are almost as near, as real texts do and well separated clusters do not.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

SUBJECTS: Final = 2000
WORDS_OF_A_SUBJECT: Final = 200
FEWEST, MOST = 6, 25
OWN_WORDS: Final = 0.6
NEIGHBOURS: Final = 10

_AT_ONCE: Final = 20_000


def made(count: int, queries: int, *, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`count` vectors and `queries` queries, float32, rows L2-normalised. The same for the same numbers."""
    table = _tokens()
    random = np.random.default_rng(seed)
    common = random.permutation(len(table))
    subjects = np.array([random.choice(len(table), WORDS_OF_A_SUBJECT, replace=False) for _ in range(SUBJECTS)])
    asked = np.sort(random.choice(count, queries, replace=False))
    rows, questions = np.empty((count, table.shape[1]), np.float32), []
    for start in range(0, count, _AT_ONCE):
        lengths = random.integers(FEWEST, MOST + 1, min(_AT_ONCE, count - start))
        total = int(lengths.sum())
        subject = np.minimum((random.pareto(1.2, len(lengths)) * 40).astype(int), SUBJECTS - 1)
        own = subjects[np.repeat(subject, lengths), _zipf(random, total, WORDS_OF_A_SUBJECT, 3)]
        words = np.where(random.random(total) < OWN_WORDS, own, common[_zipf(random, total, len(table), 10)])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        rows[start : start + len(lengths)] = np.add.reduceat(table[words], starts, axis=0)
        for number in asked[(asked >= start) & (asked < start + len(lengths))] - start:
            said = words[starts[number] : starts[number] + lengths[number]]
            kept = random.choice(said, len(said) // 2, replace=False)
            questions.append(table[kept].sum(axis=0) + table[common[_zipf(random, 2, len(table), 10)]].sum(axis=0))
    return _unit(rows), _unit(np.array(questions, np.float32))


def nearest(rows: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 (queries, NEIGHBOURS): the rows with the greatest products, by comparing all of them."""
    scores = np.full((len(queries), NEIGHBOURS), -2, np.float32)
    found = np.zeros((len(queries), NEIGHBOURS), np.int64)
    for start in range(0, len(rows), 5 * _AT_ONCE):
        part = queries @ rows[start : start + 5 * _AT_ONCE].T
        best = np.argpartition(-part, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        scores = np.hstack([scores, np.take_along_axis(part, best, 1)])
        found = np.hstack([found, best + start])
        order = np.argsort(-scores, axis=1)[:, :NEIGHBOURS]
        scores, found = np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)
    return found


def _zipf(random: np.random.Generator, count: int, kinds: int, shift: int) -> NDArray[np.int64]:
    """Numbers under `kinds`, the lower ones more often: n comes as 1 / (n + shift)."""
    shares = np.cumsum(1 / (np.arange(kinds) + shift))
    return np.minimum(np.searchsorted(shares / shares[-1], random.random(count)), kinds - 1)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows


def _tokens() -> NDArray[np.float32]:
    import wordllama

    folder = Path(wordllama.__file__).parent
    return np.asarray(wordllama.WordLlama.load(cache_dir=folder, disable_download=True).embedding, np.float32)
