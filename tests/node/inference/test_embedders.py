"""Embedders by name; a transformer in ONNX, small enough to be written here; and a GGUF file through llama.cpp."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from node.inference.embedder import WordLlamaEmbedder, embed_checked
from node.inference.embedders import open_embedder
from node.inference.errors import BadEmbedding, EmbedderUnavailable, EmbedderUnknown, InferenceError, ModelMissing
from node.inference.gguf_embedder import GgufEmbedder
from node.inference.models import cache_folder
from node.inference.onnx_embedder import OnnxEmbedder

WORDS = ["[PAD]", "[UNK]", "a", "green", "bridge", "cheese", "gouda"]
D = 8
TABLE = np.random.default_rng(1).standard_normal((len(WORDS), D)).astype(np.float32)


@pytest.mark.parametrize("spec", ["", "wordllama:100", "word2vec", "onnx:", "gguf:", "onnx", "wordllama:1e2"])
def test_what_names_no_embedder_is_refused(spec: str) -> None:
    with pytest.raises(EmbedderUnknown):
        open_embedder(spec)


def test_wordllama_is_there_whole_and_in_part() -> None:
    whole, part = open_embedder("wordllama"), open_embedder("wordllama:128")
    assert isinstance(whole, WordLlamaEmbedder)
    assert (whole.dimensions, part.dimensions) == (256, 128)
    assert whole.model_id != part.model_id


# What follows writes a model file by hand: github.com/onnx/onnx, onnx/onnx.proto, and the wire format of protobuf.


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protobuf message: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def value_info(name: str, kind: int, *axes: str | int) -> bytes:
    shape = b"".join(field(1, field(2, axis) if isinstance(axis, str) else field(1, axis)) for axis in axes)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def gathering_model(table: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> bytes:
    """A model whose token vectors are rows of a table: last_hidden_state = Gather(table, input_ids)."""
    rows, columns = table.shape
    weights = field(1, rows) + field(1, columns) + field(2, 1) + field(8, "table") + field(9, table.tobytes())
    node = field(1, "table") + field(1, "input_ids") + field(2, "last_hidden_state") + field(4, "Gather")
    graph = (
        field(1, node)
        + field(2, "tiny")
        + field(5, weights)
        + field(11, value_info("input_ids", 7, "batch", "tokens"))
        + field(12, value_info("last_hidden_state", 1, "batch", "tokens", columns))
    )
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def folder_with(path: Path, model: bytes) -> Path:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "model.onnx").write_bytes(model)
    return path


@pytest.fixture
def onnx(tmp_path: Path) -> OnnxEmbedder:
    pytest.importorskip("onnxruntime")
    return OnnxEmbedder(folder_with(tmp_path, gathering_model(TABLE)))


def mean(text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    rows = TABLE[[WORDS.index(word) for word in text.split()]].mean(axis=0)
    return np.asarray(rows / np.linalg.norm(rows), np.float32)


def test_token_vectors_are_averaged_without_the_padding(onnx: OnnxEmbedder) -> None:
    texts = ["a green bridge", "gouda", "", "a gouda cheese a a a", " \n"]
    vectors = embed_checked(onnx, texts)
    for number in (0, 1, 3):
        assert vectors[number] == pytest.approx(mean(texts[number]), abs=1e-6)
    assert not vectors[[2, 4]].any()
    assert onnx.embed([]).shape == (0, D)
    assert onnx.dimensions == D


def test_batches_keep_the_order(onnx: OnnxEmbedder) -> None:
    texts = [" ".join(["green", "bridge", "cheese"][: 1 + n % 3] * (1 + n % 5)) for n in range(100)]
    for text, vector in zip(texts, onnx.embed(texts), strict=True):
        assert vector == pytest.approx(mean(text), abs=1e-5)


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 2}))
    embedder = OnnxEmbedder(folder_with(tmp_path, gathering_model(TABLE)))
    assert embedder.embed(["green bridge cheese"])[0] == pytest.approx(mean("green bridge"), abs=1e-6)


def test_other_files_are_another_model(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    ids = set()
    for number in (1, 1, 2):
        folder = tmp_path / f"{number}"
        folder.mkdir(exist_ok=True)
        ids.add(OnnxEmbedder(folder_with(folder, gathering_model(TABLE * number))).model_id)
    assert len(ids) == 2


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    table = TABLE.copy()
    table[WORDS.index("cheese")] = np.nan
    embedder = OnnxEmbedder(folder_with(tmp_path, gathering_model(table)))
    embed_checked(embedder, ["green"])
    with pytest.raises(BadEmbedding):
        embed_checked(embedder, ["green", "cheese"])


def test_a_folder_without_a_model_or_with_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable):
        open_embedder(f"onnx:{tmp_path}")
    pytest.importorskip("onnxruntime")
    for damaged in (b"", b"not a model", gathering_model(TABLE)[:-20]):
        with pytest.raises(EmbedderUnavailable):
            OnnxEmbedder(folder_with(tmp_path, damaged))
    folder_with(tmp_path, gathering_model(TABLE))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(EmbedderUnavailable):
        OnnxEmbedder(tmp_path)


def test_a_gguf_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        open_embedder(f"gguf:{tmp_path / 'nowhere.gguf'}")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(InferenceError):
        open_embedder(f"gguf:{tmp_path / 'bad.gguf'}")


@pytest.mark.slow
@pytest.mark.model
def test_llama_cpp_embeds() -> None:
    """The bundled chat model: its likeness says little, so this is about shapes, order and long texts."""
    path = cache_folder() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        pytest.skip("the bundled model is not here")
    embedder = GgufEmbedder(path)
    texts = ["The bridge is green.", "", "Aunt Vera prefers Gouda.", "é" * 5000]
    vectors = embed_checked(embedder, [*texts, *texts[:3] * 6])
    assert vectors.shape == (22, embedder.dimensions)
    assert not vectors[1].any()
    for number in (0, 2):
        assert np.allclose(vectors[number], vectors[number + 19], atol=1e-3)
    assert float(vectors[0] @ embedder.embed(["The bridge is green."])[0]) == pytest.approx(1, abs=1e-3)
    assert float(vectors[0] @ vectors[2]) < 0.999
