"""Trying a model in a process of its own before the twin loads it: `python -m node.inference.proving FILE SETTINGS`.

llama.cpp ends its whole process over some files that contradict themselves, and a model's chat template is a program
that may run for ever. So a file answers one question elsewhere before the twin trusts itself to it.
"""

import asyncio
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.config import InferenceConfig
from node.inference.engine import ChatRequest, ChatTurn
from node.inference.errors import InferenceError, ModelUnloadable
from node.inference.opening import opener

MAX_PROOF_S: Final = 900.0
"""The largest models take minutes to come from a slow disk."""

MAX_CPU_S: Final = 4 * 3600
"""It ends some time though nobody is left who would end it; threads count each."""

_SETTINGS: Final = {"engine", "threads", "context_tokens"}
_REASON_CHARS: Final = 300


def main() -> int:
    """Load the file and have it write one word. Why that failed is on stdout."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    with suppress(OSError):  # whoever takes all memory is ended before any other
        Path("/proc/self/oom_score_adj").write_text("1000")
    file, settings = sys.argv[1:3]
    try:
        asyncio.run(_answer_once(Path(file), InferenceConfig.model_validate_json(settings)))
    except InferenceError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", "replace"))
        return 1
    return 0


async def _answer_once(path: Path, settings: InferenceConfig) -> None:
    async with opener(settings)(path) as engine:
        await engine.complete(ChatRequest(turns=[ChatTurn("user", "Count to three.")], max_tokens=1))


async def prove(path: Path, settings: InferenceConfig, *, wait_s: float = MAX_PROOF_S) -> None:
    """Have the model at `path` answer elsewhere, run as `settings` say. Raises ModelUnloadable if it does not."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.inference.proving", str(path), settings.model_dump_json(include=_SETTINGS)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # else it calls a debugger to say where it ended
    )
    try:
        async with asyncio.timeout(wait_s):
            said, _ = await process.communicate()
    except TimeoutError as error:
        raise ModelUnloadable(f"{path} does not answer within {wait_s:g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
    if process.returncode != 0:
        reason = said.decode("utf-8", "replace")[:_REASON_CHARS]
        raise ModelUnloadable(
            reason or f"llama.cpp breaks down over {path}: its process ended with {process.returncode}"
        )


if __name__ == "__main__":
    sys.exit(main())
