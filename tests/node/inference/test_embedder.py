"""The embedded embedder: unit vectors, always the same, quiet."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from node.inference.embedder import MAX_EMBED_CHARS, WordLlamaEmbedder

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
