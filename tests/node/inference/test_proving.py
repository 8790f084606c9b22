"""A model is tried in a process of its own: what would end the twin ends that one."""

import asyncio
import shutil
from pathlib import Path

import psutil
import pytest

from node.config import InferenceConfig
from node.inference.errors import ModelUnloadable
from node.inference.proving import prove
from tests.node.inference.gguf_files import gguf

SETTINGS = InferenceConfig(threads=1, context_tokens=512)


@pytest.mark.slow
def test_what_the_library_refuses_is_said_as_it_says_it(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    with pytest.raises(ModelUnloadable, match=r"llama\.cpp cannot load .*tiny\.gguf"):
        asyncio.run(prove(tmp_path / "tiny.gguf", SETTINGS))


@pytest.mark.slow
def test_one_that_does_not_come_to_an_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    with pytest.raises(ModelUnloadable, match="within"):
        asyncio.run(prove(tmp_path / "tiny.gguf", SETTINGS, wait_s=0.01))
    assert not [child for child in psutil.Process().children() if "node.inference.proving" in child.cmdline()]


@pytest.mark.model
@pytest.mark.slow
def test_a_model_that_ends_its_process_does_not_end_this_one(bundled_model: Path, tmp_path: Path) -> None:
    asyncio.run(prove(bundled_model, SETTINGS))
    deadly = tmp_path / "deadly.gguf"
    shutil.copyfile(bundled_model, deadly)
    with deadly.open("r+b") as file:
        key = b"llama.block_count"
        file.seek(file.read(1024**2).index(key) + len(key) + 4)  # the four bytes say that a number of 32 bits follows
        file.write(bytes(4))
    with pytest.raises(ModelUnloadable, match="process ended with -6"):
        asyncio.run(prove(deadly, SETTINGS))
