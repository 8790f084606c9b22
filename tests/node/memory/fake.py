"""An Embedder of its own making: each word is a direction, so texts that share words are alike."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class WordEmbedder:
    """Bag of words over hashed directions. `model_id` and `dimensions` are chosen, to play different models."""

    def __init__(self, model_id: str = "words-64", dimensions: int = 64) -> None:
        self.model_id = model_id
        self.dimensions = dimensions
        self.embedded = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += len(texts)
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                place = int.from_bytes(hashlib.sha256(f"{self.model_id} {word}".encode()).digest()[:4])
                vectors[row, place % self.dimensions] += 1
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors
