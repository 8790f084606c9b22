"""The running twin: the composition root and everything that it composes."""

from typing import Final

__version__: Final = "0.1.0"
