"""Embeddings: texts to unit vectors. What every embedder gives, and the default one, wordllama.

wordllama is a static model (one vector for each token, averaged): small, quick, deterministic, and offline. It comes
with its package and is loaded at the first text, because a run without memories need not spend the time and memory.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from node.inference.errors import BadEmbedding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAX_EMBED_CHARS: Final = 8192
"""Only so much of a text counts: an average over more says nothing, and time and memory grow with it."""


class Embedder(Protocol):
    """Makes vectors whose inner product says how alike two texts are. Thread-safe and deterministic."""

    @property
    def model_id(self) -> str:
        """Names model and dimensions; vectors of different ids are never compared."""
        ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, d), rows L2-normalised. A text without any token gives a row of zeros, like nothing at all.

        Raises an InferenceError if there is no answer.
        """
        ...


def embed_checked(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """What the embedder makes of these texts, if that is what it promises. Raises BadEmbedding."""
    import numpy as np

    vectors = embedder.embed(texts)
    if vectors.shape != (len(texts), embedder.dimensions):
        raise BadEmbedding(f"{embedder.model_id} gave {vectors.shape} numbers, not {(len(texts), embedder.dimensions)}")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(lengths).all():
        raise BadEmbedding(f"{embedder.model_id} gave a vector that has no finite length")
    for text, length in zip(texts, lengths.tolist(), strict=True):
        if length == 0 and any(char.isalnum() for char in text[:MAX_EMBED_CHARS]):
            raise BadEmbedding(f"{embedder.model_id} gave zeros for a text that has words")
        if length != 0 and abs(length - 1) > _LENGTH_OFF:
            raise BadEmbedding(f"{embedder.model_id} gave a vector of the length {length:g}, not 1")
    return vectors.astype(np.float32, copy=False)


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length, in place; rows of zeros stay."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors


_LENGTH_OFF: Final = 1e-3
VECTORS_KEPT: Final = 2048
"""Vectors of the texts that were embedded last, 1 KB each and the text."""

WORDLLAMA_DIMENSIONS: Final = (64, 128, 256)
"""The model was trained so that the first numbers of a vector serve alone (Matryoshka)."""

_AT_ONCE: Final = 256


class WordLlamaEmbedder:
    """The embedded default: wordllama's l2_supercat, 256 dimensions or the first few of them."""

    def __init__(self, dimensions: int = 256) -> None:
        assert dimensions in WORDLLAMA_DIMENSIONS
        self.dimensions: Final = dimensions
        self.model_id: Final = f"wordllama-l2-supercat-{dimensions}"
        self._loading = threading.Lock()
        self._keeping = threading.Lock()
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._model: _Static | None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        short = [text[:MAX_EMBED_CHARS] for text in texts]
        vectors = np.zeros((len(short), self.dimensions), np.float32)
        for start in range(0, len(short), _AT_ONCE):
            part = short[start : start + _AT_ONCE]
            vectors[start : start + len(part)] = self._vectors(part)
        return normalised(vectors)

    def _vectors(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """The same text is often embedded again a moment later, by another part of the node."""
        with self._keeping:
            known = {text: self._kept[text] for text in texts if text in self._kept}
        new = list(dict.fromkeys(text for text in texts if text not in known))
        if new:
            known |= dict(zip(new, self._loaded().embed(new), strict=True))
        with self._keeping:
            for text in dict.fromkeys(texts):
                self._kept.pop(text, None)
                self._kept[text] = known[text]
            while len(self._kept) > VECTORS_KEPT:
                del self._kept[next(iter(self._kept))]
        return [known[text] for text in texts]

    def _loaded(self) -> _Static:
        with self._loading:
            if self._model is None:
                self._model = _Static(_load(), self.dimensions)
        return self._model


class _Static:
    """The table of token vectors, and the tokeniser. Each text is averaged by itself, as the library does for one.

    The library pads a batch to its longest text, which costs memory and changes the last bits of the others.
    """

    def __init__(self, model: Any, dimensions: int) -> None:
        import numpy as np

        self._table = np.ascontiguousarray(model.embedding[:, :dimensions])
        self._tokenizer = model.tokenizer
        self._tokenizer.no_padding()
        # Without the place of each token in the text, which nobody asks for: three times as quick.
        self._tokenize = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)

    def embed(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """The mean of each text's token vectors; zeros without any."""
        import numpy as np

        found = []
        for encoded in self._tokenize(texts, add_special_tokens=False):
            ids = np.asarray(encoded.ids, np.int64)
            np.clip(ids, 0, len(self._table) - 1, out=ids)
            found.append(np.add.reduce(self._table[ids], axis=0) / np.float32(max(1, len(ids))))
        return found


def _load() -> Any:
    # The tokenizer warns on stderr when a process with its threads forks, and texts are short.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        import wordllama
    finally:
        # Importing it calls logging.basicConfig(level=INFO). How the node logs is not a library's to decide.
        root.setLevel(level)
        root.handlers[:] = handlers
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
