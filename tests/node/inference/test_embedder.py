"""The embedded embedder: unit vectors, always the same, quiet."""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.inference.embedder import MAX_EMBED_CHARS, WordLlamaEmbedder, _load, embed_checked
from node.inference.errors import BadEmbedding

REPO = Path(__file__).parents[3]

pytestmark = pytest.mark.slow  # loading it takes half a second


@pytest.fixture(scope="module")
def embedder() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


def test_rows_are_unit_vectors_and_nothing_is_like_no_text(embedder: WordLlamaEmbedder) -> None:
    vectors = embedder.embed(["The bridge is green.", "", "  ", "наука 科学 🚀", "\0"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, embedder.dimensions)
    norms = np.linalg.norm(vectors, axis=1)
    assert norms[[0, 3]] == pytest.approx([1, 1], abs=1e-6)
    assert norms[1] == 0
    assert np.isfinite(vectors).all()
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_a_text_has_one_vector_whatever_it_is_embedded_with(embedder: WordLlamaEmbedder) -> None:
    texts = ["short", "a much longer text " * 40, "The harbour bridge was painted green."]
    together = embedder.embed(texts)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda text: embedder.embed([text])[0], texts * 8))
    for number, vector in enumerate(alone):
        assert np.array_equal(vector, together[number % len(texts)])
    assert np.array_equal(WordLlamaEmbedder().embed(texts), together)


def test_a_vector_is_the_one_that_the_library_makes_of_the_text_alone(embedder: WordLlamaEmbedder) -> None:
    """To the last bit, so that vectors of before stay what they are."""
    model = _load()
    texts = ["short", "a much longer text " * 40, "数学 🚀 naïve café", "it's 3.14, isn't it?", "x" * 5000]
    for text, vector in zip(texts, embedder.embed(texts * 2)[len(texts) :], strict=True):
        alone = model.embed([text])
        assert np.array_equal(vector, (alone / np.linalg.norm(alone, axis=1, keepdims=True))[0])


def test_fewer_dimensions_are_the_first_of_all(embedder: WordLlamaEmbedder) -> None:
    small = WordLlamaEmbedder(128)
    assert small.model_id != embedder.model_id
    texts = ["The harbour bridge is painted green.", ""]
    whole = embedder.embed(texts)[:, :128]
    assert small.embed(texts)[0] == pytest.approx(whole[0] / np.linalg.norm(whole[0]), abs=1e-6)
    assert not small.embed(texts)[1].any()


class Wrong:
    """An embedder that gives what it is told to."""

    model_id = "wrong"
    dimensions = 4

    def __init__(self, vectors: object) -> None:
        self._vectors = np.array(vectors, np.float32)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._vectors


NO_VECTORS = {
    "too short": [[1, 0, 0]],
    "too many": [[1, 0, 0, 0], [1, 0, 0, 0]],
    "no rows": [1, 0, 0, 0],
    "NaN": [[np.nan, 0, 0, 0]],
    "infinite": [[np.inf, 0, 0, 0]],
    "zeros": [[0, 0, 0, 0]],
    "another length": [[2, 0, 0, 0]],
}


@pytest.mark.parametrize("vectors", NO_VECTORS.values(), ids=NO_VECTORS.keys())
def test_what_is_no_vector_is_refused(vectors: object) -> None:
    with pytest.raises(BadEmbedding):
        embed_checked(Wrong(vectors), ["some words"])


def test_what_is_one_is_not() -> None:
    assert embed_checked(Wrong([[0, 1, 0, 0]]), ["some words"]).shape == (1, 4)
    assert not embed_checked(Wrong([[0, 0, 0, 0]]), [" ... "]).any()


def test_only_the_beginning_of_a_very_long_text_counts(embedder: WordLlamaEmbedder) -> None:
    text = "sea " * (MAX_EMBED_CHARS // 4)
    one, other = embedder.embed([text, text + "mountain " * 100_000])
    assert np.array_equal(one, other)


def test_what_means_the_same_is_near(embedder: WordLlamaEmbedder) -> None:
    query, right, wrong = embedder.embed(
        ["What colour is the bridge?", "The harbour bridge is painted green.", "Aunt Vera prefers Gouda to Brie."]
    )
    assert query @ right > query @ wrong + 0.2


_CHILD = """
import json, logging, sys
from node.inference.embedder import WordLlamaEmbedder
vectors = WordLlamaEmbedder().embed(["hello"])
root = logging.getLogger()
print(json.dumps({"handlers": len(root.handlers), "level": root.level, "huge": [
    name for name in ("torch", "transformers", "tensorflow", "scipy", "pandas") if name in sys.modules
]}))
"""


def test_loading_it_is_quiet_and_leaves_logging_alone() -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD], cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"handlers": 0, "level": 30, "huge": []}
    assert done.stderr == ""
