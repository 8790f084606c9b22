"""GGUF files without weights, for tests: the header as the format says, and some bytes for what follows."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

TINY: Mapping[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.license": "apache-2.0",
    "general.license.link": "https://example.org/licence",
    "general.file_type": 15,
    "llama.block_count": 2,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 4,
    "tokenizer.ggml.tokens": ["a", "b", "<|im_end|>"],
    "tokenizer.chat_template": "{% if tools %}{{ tools }}{% endif %}{{ messages }}",
}


def gguf(
    values: Mapping[str, Any] = TINY, tensors: Sequence[Sequence[int]] = ((64, 32),), *, data_bytes: int = 4096
) -> bytes:
    """A GGUF file with these values and tensors of these dimensions."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for key, value in values.items():
        head += _text(key) + _value(value)
    for number, sides in enumerate(tensors):
        head += _text(f"t{number}") + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, 0, 32 * number)
    return head + bytes(data_bytes)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<IQ", 10, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    kind = 8 if value and isinstance(value[0], str) else 10
    head = struct.pack("<IIQ", 9, kind, len(value))
    return head + b"".join(_text(item) if kind == 8 else struct.pack("<Q", item) for item in value)
