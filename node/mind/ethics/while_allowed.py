"""What works by itself, from time to time, and must not while an owner has stopped the work (kill_switch.py).

A stop breaks it off wherever it is, as a crash would, and it begins anew when work goes on: whatever runs here is made
to go on after a crash.
"""

import asyncio
from typing import Protocol

from node.mind.ethics.kill_switch import KillSwitch


class Service(Protocol):
    """A part of the twin that works until it is cancelled."""

    async def run(self) -> None: ...


class WhileAllowed:
    """Runs a service only while nobody has stopped the work."""

    def __init__(self, service: Service, kill_switch: KillSwitch) -> None:
        self.service = service
        self._kill_switch = kill_switch
        self._changed = asyncio.Event()
        kill_switch.on_change(self._on_change)

    async def run(self) -> None:
        """Until cancelled, or what the service raises."""
        while True:
            self._changed.clear()
            if self._kill_switch.stopped:
                await self._changed.wait()
                continue
            if await self._run_until_changed():
                return

    async def _run_until_changed(self) -> bool:
        """Whether the service has ended by itself."""
        working = asyncio.ensure_future(self.service.run())
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((working, changing), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return True
            return False
        finally:
            working.cancel()
            changing.cancel()
            await asyncio.gather(working, changing, return_exceptions=True)

    async def _on_change(self, stopped: bool) -> None:
        self._changed.set()
