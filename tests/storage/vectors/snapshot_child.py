"""Writes snapshots of one index again and again until it is killed; says so after each.

Usage: snapshot_child.py FOLDER
"""

import os
import sys
from pathlib import Path

from storage.vectors.index import VectorIndex
from storage.vectors.snapshot import Snapshots

sys.path.insert(0, str(Path(__file__).parents[3]))
from tests.storage.vectors.made import D, clustered

N = 20_000

if __name__ == "__main__":
    index = VectorIndex(D, exact_most=2000)
    index.add(range(N), clustered(N))
    index.build()
    snapshots = Snapshots(Path(sys.argv[1]))
    while snapshots.write(index, stamp="stamp", model_id="model", last_seq=N):
        os.write(1, b"written\n")
