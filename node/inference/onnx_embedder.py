"""An embedder from a folder with a transformer in ONNX and its tokenizer, such as all-MiniLM-L6-v2 (extra `onnx`).

The folder has `tokenizer.json` and `model.onnx` (or `onnx/model.onnx`). Token vectors are averaged (mean pooling) and
the mean is L2-normalised, as sentence-transformers does unless a model says otherwise; a model that pools by itself
is taken at its word. Texts run in batches of like length: the last bits of a vector may depend on its neighbours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.inference.embedder import MAX_EMBED_CHARS, normalised
from node.inference.errors import BadEmbedding, EmbedderUnavailable
from node.inference.machine import usable_cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_MODEL_BYTES: Final = 2 << 30
MAX_JSON_BYTES: Final = 64 << 20
USUAL_TOKENS: Final = 256
MOST_TOKENS: Final = 8192
BATCH: Final = 32
MAX_THREADS: Final = 4

_FILES: Final = ("model.onnx", "onnx/model.onnx")
_READ_BYTES: Final = 1 << 20


class OnnxEmbedder:
    """One model, loaded. Thread-safe: onnxruntime's sessions are."""

    def __init__(self, folder: Path) -> None:
        """Blocks while it loads. Raises EmbedderUnavailable or BadEmbedding."""
        try:
            onnxruntime = import_module("onnxruntime")
            tokenizers = import_module("tokenizers")
        except ImportError as error:
            raise EmbedderUnavailable(f"the library {error.name} is not installed") from error
        model = next((folder / name for name in _FILES if (folder / name).is_file()), None)
        words = folder / "tokenizer.json"
        if model is None or not words.is_file():
            raise EmbedderUnavailable(f"{folder} does not have {_FILES[0]} and tokenizer.json")
        try:
            if model.stat().st_size > MAX_MODEL_BYTES or words.stat().st_size > MAX_JSON_BYTES:
                raise EmbedderUnavailable(f"{folder}: the model or its tokenizer is too large")
            digest = _digest(model, words)
            self._tokenizer = tokenizers.Tokenizer.from_file(str(words))
            self._session = onnxruntime.InferenceSession(
                str(model), _options(onnxruntime), providers=["CPUExecutionProvider"]
            )
        except EmbedderUnavailable:
            raise
        except Exception as error:  # whatever the two libraries raise for a file that they cannot read
            raise EmbedderUnavailable(f"{folder} cannot be loaded: {str(error)[:200]}") from error
        self._tokenizer.enable_truncation(_tokens_of(folder))
        self._tokenizer.enable_padding()
        self._inputs = {one.name for one in self._session.get_inputs()}
        self.dimensions: Final = int(self._run(["a"]).shape[1])
        self.model_id: Final = f"onnx-{digest[:16]}-{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See Embedder."""
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        short = [text[:MAX_EMBED_CHARS] for text in texts]
        order = sorted((number for number, text in enumerate(short) if text.strip()), key=lambda n: len(short[n]))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            vectors[part] = self._run([short[number] for number in part])
        return normalised(vectors)

    def _run(self, texts: list[str]) -> NDArray[np.float32]:
        """(n, d), not yet normalised."""
        import numpy as np

        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in encoded], np.int64)
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            output = self._session.run(None, {name: given[name] for name in self._inputs if name in given})[0]
        except Exception as error:  # the library's own, without a common base
            raise BadEmbedding(f"onnxruntime: {str(error)[:200]}") from error
        found = np.asarray(output, np.float32)
        if found.ndim == 3:
            weight = mask[:, :, None].astype(np.float32)
            found = (found * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)
        if found.ndim != 2 or len(found) != len(texts) or not found.shape[1]:
            raise BadEmbedding(f"the model gave an array of the shape {found.shape}")
        return found


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, min(MAX_THREADS, usable_cores() // 2))
    options.log_severity_level = 4
    return options


def _digest(*paths: Path) -> str:
    """SHA-256 over the files: other files are another model."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                found.update(data)
    return found.hexdigest()


def _tokens_of(folder: Path) -> int:
    """How many tokens of a text the model was made for."""
    try:
        wanted = json.loads((folder / "sentence_bert_config.json").read_bytes()[:MAX_JSON_BYTES])["max_seq_length"]
    except (OSError, ValueError, KeyError, TypeError):
        return USUAL_TOKENS
    return min(wanted, MOST_TOKENS) if isinstance(wanted, int) and wanted > 0 else USUAL_TOKENS
