"""What every stream of ours needs. Runs on the trio side."""

from typing import Any

import trio


async def drop(stream: Any) -> None:
    """Reset a stream, also while this task is being cancelled; the peer's slowness costs at most one second."""
    with trio.move_on_after(1) as scope:
        scope.shield = True
        await stream.reset()
