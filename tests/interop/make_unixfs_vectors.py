"""Asks a Kubo for the CIDs of tests/protocols/unixfs/vectors/kubo.json and writes that file.

    python -m tests.interop.make_unixfs_vectors "$(scripts/kubo)"

To be run when the corpus below changes. A newer Kubo must not change a CID: nothing would be found under the old ones.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.interop.kubo import Kubo, running_kubo
from tests.protocols.unixfs.corpus import VECTORS, FileVector, Tree, write_tree

SEED: Final = "PAGI Twin"
KIB: Final = 1024
MIB: Final = 1024 * KIB

FILES: Final = [
    *((SEED, size, 256 * KIB) for size in (0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, MIB)),
    (None, MIB, 256 * KIB),
    *((SEED, size, 256 * KIB) for size in (174 * 256 * KIB, 174 * 256 * KIB + 1, 200 * 256 * KIB + 17)),
    *((SEED, size, 256) for size in (174 * 174 * 256, 174 * 174 * 256 + 1)),
    *((SEED, size, MIB) for size in (0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 7)),
    *((None, size, MIB) for size in (174 * MIB, 174 * MIB + 1)),
]
"""Sizes around a chunk, a full node and two levels of full nodes, as (seed, bytes, bytes of a chunk)."""

FOLDERS: Final[list[tuple[str, Tree, int]]] = [
    ("empty", {}, 256 * KIB),
    ("one empty file", {"empty": 0}, 256 * KIB),
    ("nested", {"a": {"b": {"c": {"d": {}, "file": 5}}, "e": 0}, "f": 300_000}, 256 * KIB),
    ("nested", {"a": {"b": {"c": {"d": {}, "file": 5}}, "e": 0}, "f": 3_000_000}, MIB),
    ("names", {"a b": 1, "B": 2, "a": 3, "ä": 4, "a\u0308": 5, "日本語": 6, "🙂": {"🙃": 7}, "\uffee": 8}, 256 * KIB),
    ("odd names", {".hidden": 1, "...": 2, "-r": 3, "new\nline": 4, "back\\slash": 5, '"': 6, "~": 7}, 256 * KIB),
    ("long names", {"x" * 255: 1, "é" * 127: 2}, 256 * KIB),
    ("links", {"to": "a/b", "up": "../../etc", "root": "/etc/passwd", "nowhere": "ü", "a": {"b": 3}}, 256 * KIB),
    ("the same twice", {"one": {"f": 70_000}, "two": {"f": 70_000}}, 256 * KIB),
    # Each entry counts 36 bytes for its CID and 28 for its name: 4,096 of them are exactly what one block holds.
    ("at the edge", {"*": ["{:028}", 4096]}, 256 * KIB),
    ("over the edge", {"*": ["{:028}", 4095], "y" * 29: 0}, 256 * KIB),
    ("10000", {"*": ["entry-{}", 10_000]}, 256 * KIB),
    (
        "folders in shards",
        {"*": ["{:0200}", 1500], "deep": {"*": ["{:0200}", 1500], "file": 9}, "to": "deep"},
        256 * KIB,
    ),
]


def main(binary: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, running_kubo(binary, Path(folder) / "repository") as kubo:
        version = kubo.document("version", "--enc=json")["Version"]
        document = {
            "source": f"ipfs add -r --cid-version=1 --chunker=size-<chunk_bytes> --hidden, by Kubo {version} with its"
            " default configuration; total_bytes is CumulativeSize of ipfs files stat",
            "content": "size_bytes bytes of SHAKE-128 over the UTF-8 bytes of seed; that many zeros where seed is null."
            " In folders the seed of a file is its name; see tests/protocols/unixfs/corpus.py for their form",
            "files": [file_row(kubo, *file) for file in FILES],
            "folders": [folder_row(kubo, Path(folder) / str(number), *row) for number, row in enumerate(FOLDERS)],
        }
    VECTORS.write_text(_one_row_per_line(document))


def file_row(kubo: Kubo, seed: str | None, size_bytes: int, chunk_bytes: int) -> dict[str, Any]:
    content = FileVector(seed, size_bytes, chunk_bytes, "").content()
    cid = add_file(kubo, content, chunk_bytes)
    return {"seed": seed, "size_bytes": size_bytes, "chunk_bytes": chunk_bytes, "cid": cid}


def folder_row(kubo: Kubo, path: Path, name: str, tree: Tree, chunk_bytes: int) -> dict[str, Any]:
    write_tree(tree, path)
    cid, total_bytes = add_folder(kubo, path, chunk_bytes)
    return {"name": name, "tree": tree, "chunk_bytes": chunk_bytes, "cid": cid, "total_bytes": total_bytes}


def add_file(kubo: Kubo, content: bytes, chunk_bytes: int) -> str:
    """The CID that Kubo gives a file; it keeps nothing."""
    chunker = f"--chunker=size-{chunk_bytes}"
    return kubo.ipfs("add", "--cid-version=1", chunker, "--only-hash", "--quieter", stdin=content).decode().strip()


def add_folder(kubo: Kubo, path: Path, chunk_bytes: int) -> tuple[str, int]:
    """The CID that Kubo gives a folder, and what it says that all its blocks take."""
    options = ("--cid-version=1", f"--chunker=size-{chunk_bytes}", "--hidden", "--quieter")
    cid = kubo.ipfs("add", "--recursive", *options, str(path)).decode().strip()
    return cid, kubo.document("files", "stat", "--enc=json", f"/ipfs/{cid}")["CumulativeSize"]


def _one_row_per_line(document: dict[str, Any]) -> str:
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f'  "{key}": [\n{rows}\n  ]')
        else:
            parts.append(f'  "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
