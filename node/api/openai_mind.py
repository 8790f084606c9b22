"""The model `twin` of OpenAI's interface: the twin's own answer, by its mind, with its memory."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from node.api.errors import InvalidRequest
from node.api.openai_wire import ChatCompletion
from node.inference.engine import Completion
from node.mind.errors import JobOver
from node.twin import Twin

TWIN: Final = "twin"


async def by_the_mind(twin: Twin, body: ChatCompletion) -> AsyncGenerator[str | Completion, None]:
    """The answer to the last turn as a goal, in the session that `user` names; the turns before it are in the twin's
    memory of that session. Leaving early cancels the job; one that waits for its owner is left waiting.

    Raises InvalidRequest: tools and schemas are the mind's own business.
    """
    if body.tools or (body.response_format is not None and body.response_format.type != "text"):
        raise InvalidRequest(f"body: /model: {TWIN!r} takes no tools and no response_format; name a model")
    began = time.perf_counter()
    job_id = await twin.executive.submit(body.goal, session_id=body.user)
    over = False
    try:
        said = ""
        async with aclosing(twin.executive.follow(job_id)) as events:
            async for event in events:
                if event.kind in ("approval", "end") and (event.kind == "approval" or event.job_id == job_id):
                    break
                if event.kind == "text" and event.job_id == job_id and not event.data.get("whole"):
                    said += event.data["text"]
                    yield event.data["text"]
        result = await twin.executive.result(job_id)
        over = True
        answer = result.answer or f"[{result.status}]"
        if not answer.startswith(said):  # what was written at first did not become the answer
            answer = f"{said}\n\n{answer}"
        if rest := answer[len(said) :]:
            yield rest
    finally:
        if not over:
            with suppress(JobOver):
                await twin.executive.cancel(job_id)
    yield Completion(
        text=answer,
        model=TWIN,
        prompt_tokens=0,
        completion_tokens=0,
        ms=(time.perf_counter() - began) * 1000,
        note=None if result.status == "done" else f"job {job_id}: {result.status}",
    )
