"""What a GGUF file says of itself: read from its header, without the model library and without the weights.

The file may come from anywhere, so each length in it is checked against what is there and against a bound before
anything of that length is read or kept. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from node.inference.errors import ModelMissing, NotAModel

MAX_HEADER_BYTES: Final = 64 * 1024**2
"""The header of a model with 260,000 words and their merges has 15 MB. It bounds the time too: the worst that fits, a
list of empty texts, takes seconds."""

MAX_KEYS: Final = 4096
MAX_TENSORS: Final = 65_536
"""A mixture of 512 experts in 100 layers keeps them in a few tensors each; the largest seen have some thousands."""

MAX_KEPT_CHARS: Final = 256 * 1024
"""The longest text that is kept: a chat template. Names and licences are far shorter."""

MAX_KEPT_ITEMS: Final = 1024
"""The longest list that is kept: a number for each layer. MAX_KEYS such lists take 130 MB."""

MAX_LINE_CHARS: Final = 256

_VERSIONS: Final = (2, 3)
_STRING: Final = 8
_ARRAY: Final = 9
_NUMBERS: Final = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32: Final = _NUMBERS[4]
_U64: Final = _NUMBERS[10]
_MAX_DIMENSIONS: Final = 4
_CACHE_NUMBER_BYTES: Final = 2
"""Keys and values are kept as 16-bit floats."""

_STEP_BYTES: Final = 1024 * 1024

Value: TypeAlias = int | float | str | tuple[int | float, ...]

_WEIGHTS: Final = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    32: "BF16",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """One model. What the file does not say is 0, or None.

    `cache_bytes_per_token` is what each token of a context takes beside the weights. `weights` is how they are
    quantised, such as `Q4_K_M`. `lists_tools`: its chat template puts the tools of a request into the prompt.
    """

    name: str
    architecture: str
    parameters: int
    trained_context: int
    layers: int
    embedding: int
    size_bytes: int
    cache_bytes_per_token: int = 0
    weights: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    source_url: str | None = None
    lists_tools: bool = False

    @property
    def capable(self) -> bool:
        """Whether it is large enough to choose tools and to plan (docs/decisions/engine.md)."""
        return self.parameters >= CAPABLE_PARAMETERS


CAPABLE_PARAMETERS: Final = 1_000_000_000
"""SmolLM2 with 0.135 billion chooses tools hardly better than chance; Qwen2.5-Coder with 1.5 billion chose 27 of 32."""


def read_facts(path: Path) -> GgufFacts:
    """The facts of the file at `path`. Reads at most MAX_HEADER_BYTES; blocks.

    Raises ModelMissing if it cannot be read, NotAModel if it is no GGUF file, is cut short or exceeds a bound.
    """
    try:
        with path.open("rb") as file:
            return _facts(_Header(file, path), path)
    except OSError as error:
        raise ModelMissing(f"cannot read the model {path}: {error.strerror or error}") from error


class _Header:
    """The bytes of a header, read as far as they are needed, and where in them we are."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._bytes = bytearray()
        self.at = 0
        self.size_bytes = path.stat().st_size

    def refusal(self, why: str) -> NotAModel:
        return NotAModel(f"{self._path.name} is not a usable GGUF file: {why}")

    def skip(self, count: int) -> int:
        """Go on by `count` bytes; where they begin. They are in memory then. Raises NotAModel at the end."""
        begin, end = self.at, self.at + count
        if end > min(self.size_bytes, MAX_HEADER_BYTES):
            raise self.refusal("its header goes on beyond its end, or is too long")
        while end > len(self._bytes):
            piece = self._file.read(max(_STEP_BYTES, end - len(self._bytes)))
            if not piece:
                raise self.refusal("it became shorter while it was read")
            self._bytes += piece
        self.at = end
        return begin

    def number(self, form: struct.Struct) -> int | float:
        value: int | float = form.unpack_from(self._bytes, self.skip(form.size))[0]
        return value

    def count(self, form: struct.Struct, most: int, what: str) -> int:
        value = int(self.number(form))
        if value > most:
            raise self.refusal(f"it says that it has {value} {what}")
        return value

    def raw(self, count: int) -> bytes:
        begin = self.skip(count)
        return bytes(self._bytes[begin : begin + count])

    def text(self, most: int) -> str | None:
        """A string, or None for one that is longer than what is kept of any."""
        count = int(self.number(_U64))
        if count > most:
            self.skip(count)
            return None
        return self.raw(count).decode("utf-8", "replace")

    def value(self, kind: int) -> Value | None:
        """A value of this kind; None for one that is passed over because nobody needs anything so long."""
        if kind == _STRING:
            return self.text(MAX_KEPT_CHARS)
        if kind == _ARRAY:
            return self._array()
        return self.number(self._form(kind))

    def _form(self, kind: int) -> struct.Struct:
        if kind not in _NUMBERS:
            raise self.refusal(f"it has a value of the unknown kind {kind}")
        return _NUMBERS[kind]

    def _array(self) -> Value | None:
        kind, count = int(self.number(_U32)), int(self.number(_U64))
        if kind == _STRING:
            for _ in range(count):  # each takes eight bytes at least, so the end of the file bounds this
                self.skip(int(self.number(_U64)))
            return None
        form = self._form(kind)
        begin = self.skip(count * form.size)
        if count > MAX_KEPT_ITEMS:
            return None
        return tuple(item for (item,) in form.iter_unpack(bytes(self._bytes[begin : self.at])))


def _facts(header: _Header, path: Path) -> GgufFacts:
    if header.size_bytes < 4 or header.raw(4) != b"GGUF":
        raise header.refusal("it does not begin with GGUF")
    if (version := header.number(_U32)) not in _VERSIONS:
        raise header.refusal(f"version {version} of the format is not known")
    tensors = header.count(_U64, MAX_TENSORS, "tensors")
    said = _read_values(header, header.count(_U64, MAX_KEYS, "values"))
    parameters = _read_tensors(header, tensors)
    architecture = _line(said, "general.architecture") or "unknown"
    own = {key.removeprefix(f"{architecture}."): value for key, value in said.items()}
    template = said.get("tokenizer.chat_template")
    return GgufFacts(
        name=_line(said, "general.name") or path.stem,
        architecture=architecture,
        parameters=parameters,
        trained_context=_whole(own, "context_length"),
        layers=_whole(own, "block_count"),
        embedding=_whole(own, "embedding_length"),
        size_bytes=header.size_bytes,
        cache_bytes_per_token=_cache_bytes(own),
        weights=_WEIGHTS.get(_whole(said, "general.file_type", -1)),
        licence=_line(said, "general.license.name") or _line(said, "general.license"),
        licence_url=_address(said, "general.license.link"),
        source_url=_address(said, "general.repo_url") or _address(said, "general.source.url"),
        lists_tools=isinstance(template, str) and "tools" in template,
    )


def _read_values(header: _Header, count: int) -> Mapping[str, Value]:
    said: dict[str, Value] = {}
    for _ in range(count):
        key = header.text(MAX_LINE_CHARS)
        value = header.value(int(header.number(_U32)))
        if key is not None and value is not None:
            said[key] = value
    return said


def _read_tensors(header: _Header, count: int) -> int:
    """The numbers in all tensors, which must lie within the file."""
    parameters = furthest = 0
    for _ in range(count):
        header.text(MAX_LINE_CHARS)
        sides = [int(header.number(_U64)) for _ in range(header.count(_U32, _MAX_DIMENSIONS, "dimensions"))]
        header.skip(_U32.size)
        furthest = max(furthest, int(header.number(_U64)))
        parameters += math.prod(sides)
    if count and header.at + furthest >= header.size_bytes:
        raise header.refusal("it is cut short: tensors lie beyond its end")
    # The smallest weights in use have 1.5 bits.
    if parameters > header.size_bytes * 8:
        raise header.refusal(f"it cannot hold the {parameters} numbers that it says it has")
    return parameters


def _cache_bytes(own: Mapping[str, Value]) -> int:
    """The bytes that one token takes in the cache of keys and values, over all layers."""
    layers, heads = _whole(own, "block_count"), _whole(own, "attention.head_count")
    size = _whole(own, "embedding_length") // heads if heads else 0
    per_head = _whole(own, "attention.key_length", size) + _whole(own, "attention.value_length", size)
    kept = own.get("attention.head_count_kv", heads)
    if isinstance(kept, tuple):  # a number for each layer
        total = sum(int(item) for item in kept if math.isfinite(item))
    else:
        total = layers * _whole(own, "attention.head_count_kv", heads)
    return max(0, total * per_head * _CACHE_NUMBER_BYTES)


def _whole(said: Mapping[str, Value], key: str, absent: int = 0) -> int:
    """A count. One below zero says nothing, as one that is not there."""
    value = said.get(key, absent)
    return value if isinstance(value, int) and value >= 0 else absent


def _line(said: Mapping[str, Value], key: str) -> str | None:
    """A short text as one line that a terminal can show."""
    value = said.get(key)
    if not isinstance(value, str):
        return None
    shown = "".join(char if char.isprintable() else " " for char in value[:MAX_LINE_CHARS])
    return " ".join(shown.split()) or None


def _address(said: Mapping[str, Value], key: str) -> str | None:
    """A web address, or None for what is none."""
    line = _line(said, key)
    return line if line is not None and line.startswith(("https://", "http://")) and " " not in line else None
