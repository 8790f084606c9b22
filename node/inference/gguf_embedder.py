"""An embedder from a GGUF file, such as nomic-embed-text: llama.cpp through a server of its own that only embeds.

Where the file does not say how token vectors become one, they are averaged. A chat model can be opened so as well, but
its likeness says little: take a model that was made for embedding.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.inference.embedder import MAX_EMBED_CHARS, normalised
from node.inference.errors import BadEmbedding, EmbedderUnavailable
from node.inference.gguf import read_facts
from node.inference.machine import usable_cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_TOKENS: Final = 2048
"""Of one text: the whole of it must fit into one batch of the library."""

BATCH: Final = 16
MAX_THREADS: Final = 4

_MEAN: Final = "LLAMA_POOLING_TYPE_MEAN"
_FINGERPRINT_BYTES: Final = 1 << 20
_QUIET: Final = -1


class GgufEmbedder:
    """One model, loaded. Thread-safe: one text after the other."""

    def __init__(self, path: Path) -> None:
        """Blocks while it loads. Raises EmbedderUnavailable, NotAModel or ModelMissing."""
        facts = read_facts(path)
        tokens = min(MOST_TOKENS, facts.trained_context or MOST_TOKENS)
        self._lock = threading.Lock()
        self._server = self._opened(path, tokens)
        self.dimensions: Final = len(self._ask(["a"])[0])
        self.model_id: Final = f"gguf-{_fingerprint(path)}-{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See Embedder."""
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        short = [text[:MAX_EMBED_CHARS] for text in texts]
        order = [number for number, text in enumerate(short) if text.strip()]
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            found = self._ask([short[number] for number in part])
            for number, vector in zip(part, found, strict=True):
                if len(vector) != self.dimensions:
                    raise BadEmbedding(f"the model gave {len(vector)} numbers, not {self.dimensions}")
                vectors[number] = vector
        return normalised(vectors)

    def _ask(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text; a text of more tokens than fit is cut in half until they do."""
        with self._lock:
            answer = self._server.handle_embeddings({"input": texts})
        if "error" not in answer:
            found = sorted(answer["data"], key=lambda one: one["index"])
            return [one["embedding"] for one in found]
        if "too large" not in str(answer["error"]):
            raise BadEmbedding(f"llama.cpp: {str(answer['error'])[:200]}")
        if len(texts) > 1:
            return [vector for text in texts for vector in self._ask([text])]
        return self._ask([texts[0][: len(texts[0]) // 2]])

    @staticmethod
    def _opened(path: Path, tokens: int) -> Any:
        import xllamacpp

        try:
            for pooling in (None, getattr(xllamacpp.llama_pooling_type, _MEAN)):
                server = xllamacpp.Server(_params(xllamacpp, path, tokens, pooling))
                answer = server.handle_embeddings({"input": ["a"]})
                if "error" not in answer:
                    return server
        except (RuntimeError, ValueError) as error:
            raise EmbedderUnavailable(f"llama.cpp cannot load {path}: {error}") from error
        raise EmbedderUnavailable(f"llama.cpp cannot embed with {path}: {str(answer['error'])[:200]}")


def _params(xllamacpp: Any, path: Path, tokens: int, pooling: Any) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.embedding = True
    if pooling is not None:
        params.pooling_type = pooling
    params.n_ctx = params.n_batch = params.n_ubatch = tokens
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.fit_params = False
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = max(1, min(MAX_THREADS, usable_cores() // 2))
        cpu.poll = 0
    params.hostnames = ["127.0.0.1"]  # it always listens; nobody is told the key that it wants
    params.port = 0
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = False
    params.offline = True
    params.verbosity = _QUIET
    params.warmup = False
    return params


def _fingerprint(path: Path) -> str:
    """Of the size, the beginning (with the model's own description) and the end: reading gigabytes would take long."""
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        found.update(file.read(_FINGERPRINT_BYTES))
        file.seek(max(0, size - _FINGERPRINT_BYTES))
        found.update(file.read(_FINGERPRINT_BYTES))
    return found.hexdigest()[:16]
