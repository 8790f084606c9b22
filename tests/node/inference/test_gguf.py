"""What a GGUF header says, and that no header, whoever wrote it, costs more than it may or raises anything else."""

import contextlib
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.inference.errors import ModelMissing, NotAModel
from node.inference.gguf import MAX_TENSORS, read_facts
from tests.node.inference.gguf_files import TINY, gguf

WHOLE = gguf()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "tiny.gguf"


def test_facts_are_read(path: Path) -> None:
    path.write_bytes(WHOLE)
    facts = read_facts(path)
    assert (facts.name, facts.architecture, facts.weights) == ("Tiny", "llama", "Q4_K_M")
    assert (facts.parameters, facts.layers, facts.embedding, facts.trained_context) == (2048, 2, 64, 2048)
    assert facts.cache_bytes_per_token == 2 * 4 * (8 + 8) * 2  # layers, heads, key and value, two bytes each
    assert (facts.licence, facts.licence_url) == ("apache-2.0", "https://example.org/licence")
    assert facts.lists_tools
    assert not facts.capable
    assert facts.size_bytes == len(WHOLE)


def test_what_a_file_does_not_say_is_left_open(path: Path) -> None:
    path.write_bytes(gguf({"general.architecture": "odd"}))
    facts = read_facts(path)
    assert facts.name == "tiny"
    assert (facts.layers, facts.trained_context, facts.cache_bytes_per_token) == (0, 0, 0)
    assert (facts.weights, facts.licence, facts.lists_tools) == (None, None, False)


def test_a_number_below_zero_says_nothing(path: Path) -> None:
    key, unsigned, signed = b"llama.context_length", struct.pack("<IQ", 10, 2048), struct.pack("<Iq", 11, -5)
    assert WHOLE.count(key + unsigned) == 1
    path.write_bytes(WHOLE.replace(key + unsigned, key + signed))
    assert read_facts(path).trained_context == 0


def test_a_number_for_each_layer_counts_each(path: Path) -> None:
    path.write_bytes(gguf({**TINY, "llama.attention.head_count_kv": [4, 0]}))
    assert read_facts(path).cache_bytes_per_token == 4 * (8 + 8) * 2


def test_texts_become_lines_that_a_terminal_can_show(path: Path) -> None:
    path.write_bytes(gguf({**TINY, "general.name": "a\x1b[31m\nb", "general.license.link": "javascript:alert(1)"}))
    facts = read_facts(path)
    assert facts.name == "a [31m b"
    assert facts.licence_url is None


def test_a_model_of_a_billion_is_capable(path: Path) -> None:
    with path.open("wb") as file:
        file.write(gguf(tensors=((40_000, 30_000),)))
        file.truncate(200_000_000)
    assert read_facts(path).capable


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "begin"),
        (b"GGUF", "end"),
        (b"<html>", "begin"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version"),
        (b"GGUF" + struct.pack("<IQQ", 3, MAX_TENSORS + 1, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "values"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "end"),
        (gguf(tensors=((2**40, 2**40),)), "cannot hold"),
        (gguf(data_bytes=0), "cut short"),
        (b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 10, 2**60), "end"),
        (b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 8, 2**60) + bytes(80), "end"),
        (b"GGUF" + struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 9, 1) + bytes(80), "unknown kind 9"),
    ],
)
def test_what_is_no_model_is_refused(path: Path, data: bytes, why: str) -> None:
    path.write_bytes(data)
    with pytest.raises(NotAModel, match=why):
        read_facts(path)


def test_a_file_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        read_facts(tmp_path / "none.gguf")
    with pytest.raises(ModelMissing):
        read_facts(tmp_path)


@given(st.integers(0, len(WHOLE) - 4096), st.binary(min_size=1, max_size=16))
def test_a_damaged_header_is_read_or_refused(path: Path, at: int, noise: bytes) -> None:
    path.write_bytes(WHOLE[:at] + noise + WHOLE[at + len(noise) :])
    try:
        facts = read_facts(path)
    except NotAModel:
        return
    assert facts.parameters <= facts.size_bytes * 8


@given(st.binary(max_size=400))
def test_noise_is_refused(path: Path, noise: bytes) -> None:
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + noise)
    with contextlib.suppress(NotAModel):
        read_facts(path)


def test_a_header_cut_anywhere_is_refused(path: Path) -> None:
    for at in random.Random(1).sample(range(len(WHOLE) - 4096), 60):
        path.write_bytes(WHOLE[:at])
        with pytest.raises(NotAModel):
            read_facts(path)


@pytest.mark.model
def test_the_bundled_model_says_what_we_say_of_it(bundled_model: Path) -> None:
    from node.inference.models import SMOLLM2

    facts = read_facts(bundled_model)
    assert (facts.parameters, facts.weights, facts.licence) == (SMOLLM2.parameters, SMOLLM2.weights, SMOLLM2.licence)
    assert (facts.layers, facts.trained_context, facts.cache_bytes_per_token) == (30, 8192, 23_040)
