"""What every stream of ours needs. Runs on the trio side."""

from typing import Any, Final

import trio

MAX_FRAME_BYTES: Final = 2 * 1024 * 1024
"""A request or a reply of ours, and a reply that is taken from a peer: twice the largest sync answer."""


async def drop(stream: Any) -> None:
    """Reset a stream, also while this task is being cancelled; the peer's slowness costs at most one second."""
    with trio.move_on_after(1) as scope:
        scope.shield = True
        await stream.reset()
