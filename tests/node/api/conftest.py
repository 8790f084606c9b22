import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the fake twin lies beside the tests, and is a program of its own too
