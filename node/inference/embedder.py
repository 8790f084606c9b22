"""Embeddings: texts to unit vectors, by the model that comes with the wordllama package.

It is a static model (one vector for each token, averaged): small, quick, deterministic, and offline. It is loaded at
the first text, because a run without memories need not spend the time and the memory.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

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
        """float32 (n, d), rows L2-normalised. A text without any token gives a row of zeros, like nothing at all."""
        ...


VECTORS_KEPT: Final = 2048
"""Vectors of the texts that were embedded last, 1 KB each and the text."""


class WordLlamaEmbedder:
    """The embedded default: wordllama's l2_supercat, 256 dimensions."""

    model_id: Final = "wordllama-l2-supercat-256"
    dimensions: Final = 256

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._keeping = threading.Lock()
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._model: Any = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        model = self._loaded()
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._vector(model, text[:MAX_EMBED_CHARS])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    def _vector(self, model: Any, text: str) -> NDArray[np.float32]:
        """One text at a time: a batch is padded to its longest text, which costs memory and changes the last bits.

        The same text is often embedded again a moment later, by another part of the node.
        """
        with self._keeping:
            known = self._kept.pop(text, None)
            if known is not None:
                self._kept[text] = known
                return known
        vector: NDArray[np.float32] = model.embed([text])[0]
        with self._keeping:
            self._kept[text] = vector
            if len(self._kept) > VECTORS_KEPT:
                del self._kept[next(iter(self._kept))]
        return vector

    def _loaded(self) -> Any:
        with self._loading:
            if self._model is None:
                self._model = _load()
        return self._model


def _load() -> Any:
    # One text is too short to share among threads, and the tokenizer warns on stderr when a process with them forks.
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
