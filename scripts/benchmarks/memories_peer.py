"""One other vector store, for `memories`: run by the interpreter that has it, which needs none of this project.

Usage: memories_peer.py NAME FOLDER. FOLDER has rows.npy and queries.npy; prints one JSON line.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

K = 10
MOST_S = 20.0
BATCH = 5000
FEW_TO_INDEX = 50_000
"""lancedb's own advice is to compare everything below some ten thousand rows."""

Search = Callable[[np.ndarray], list[int]]


def sqlite_vec(rows: np.ndarray, folder: Path) -> Search:
    import apsw
    import sqlite_vec as extension

    conn = apsw.Connection(str(folder / "vec.db"))
    conn.enable_load_extension(True)
    conn.load_extension(extension.loadable_path())
    size = rows.shape[1]
    conn.execute(f"CREATE VIRTUAL TABLE v USING vec0(vector float[{size}] distance_metric=cosine)")
    with conn:
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            conn.executemany(
                "INSERT INTO v (rowid, vector) VALUES (?, ?)", [(start + n, r.tobytes()) for n, r in enumerate(part)]
            )
    ask = "SELECT rowid FROM v WHERE vector MATCH ? AND k = ? ORDER BY distance"
    return lambda query: [row[0] for row in conn.execute(ask, (query.tobytes(), K))]


def qdrant_local(rows: np.ndarray, folder: Path) -> Search:
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    client = QdrantClient(":memory:")
    client.create_collection("v", vectors_config=VectorParams(size=rows.shape[1], distance=Distance.COSINE))
    client.upload_collection("v", vectors=rows, ids=range(len(rows)), batch_size=BATCH)
    return lambda query: [point.id for point in client.query_points("v", query=query, limit=K).points]


def lancedb(rows: np.ndarray, folder: Path) -> Search:
    import lancedb as library
    import pyarrow as pa

    def batches():
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), rows.shape[1])
            yield pa.record_batch([pa.array(range(start, start + len(part)), pa.int64()), vectors], ["id", "vector"])

    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), rows.shape[1]))])
    table = library.connect(str(folder / "lance")).create_table("v", batches(), schema=schema)
    indexed = len(rows) > FEW_TO_INDEX
    if indexed:
        table.create_index(metric="dot", vector_column_name="vector")

    def search(query: np.ndarray) -> list[int]:
        asked = table.search(query).distance_type("dot").select(["id", "_distance"]).limit(K)
        if indexed:
            asked = asked.nprobes(20).refine_factor(10)
        return asked.to_arrow()["id"].to_pylist()

    return search


def main(name: str, folder: Path) -> None:
    warnings.simplefilter("ignore")
    rows, queries = np.load(folder / "rows.npy"), np.load(folder / "queries.npy")
    began = time.perf_counter()
    search = {"sqlite-vec": sqlite_vec, "qdrant local": qdrant_local, "lancedb": lancedb}[name](rows, folder)
    built_s = time.perf_counter() - began
    search(queries[0])
    times, found, began = [], [], time.perf_counter()
    for query in queries:
        start = time.perf_counter()
        found.append(search(query))
        times.append(time.perf_counter() - start)
        if time.perf_counter() - began > MOST_S:
            break
    print(json.dumps({"built_s": built_s, "times_s": times, "found": found}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
