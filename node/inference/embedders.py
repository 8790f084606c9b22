"""Which embedder the owner means: `[memory] embedder`."""

from pathlib import Path

from node.inference.embedder import WORDLLAMA_DIMENSIONS, Embedder, WordLlamaEmbedder
from node.inference.errors import EmbedderUnknown


def open_embedder(spec: str) -> Embedder:
    """`wordllama`, `wordllama:128`, `onnx:FOLDER` or `gguf:PATH`. The last two are loaded now, which blocks.

    Raises EmbedderUnknown, EmbedderUnavailable, or another InferenceError.
    """
    kind, _, what = spec.partition(":")
    if kind == "wordllama" and what in ("", *map(str, WORDLLAMA_DIMENSIONS)):
        return WordLlamaEmbedder(int(what or WORDLLAMA_DIMENSIONS[-1]))
    if kind == "onnx" and what:
        from node.inference.onnx_embedder import OnnxEmbedder

        return OnnxEmbedder(Path(what).expanduser())
    if kind == "gguf" and what:
        from node.inference.gguf_embedder import GgufEmbedder

        return GgufEmbedder(Path(what).expanduser())
    raise EmbedderUnknown(f"not an embedder: {spec[:120]!r}")
