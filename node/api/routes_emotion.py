"""The twin's mood."""

from typing import Annotated

from pydantic import Field

from node.api.router import Routes
from node.api.wire import Wire
from node.mind.perceiving.emotion import MAX_MOOD_CHARS, EmotionState
from node.twin import Twin

routes = Routes("emotion")

Level = Annotated[float, Field(ge=0, le=1)]


class Emotion(Wire):
    """`activation_level` is how strong the mood is; both fade toward calm with time."""

    mood: Annotated[str, Field(min_length=1, max_length=MAX_MOOD_CHARS, pattern=r"^[a-z][a-z -]*$")]
    activation_level: Level


@routes.add("GET", "/v1/emotion", "How the twin feels now.")
async def get(twin: Twin) -> Emotion:
    return _shown(twin.mind.emotions.current())


@routes.add("PUT", "/v1/emotion", "Say how the twin feels.")
async def put(twin: Twin, body: Emotion) -> Emotion:
    return _shown(await twin.mind.emotions.set(body.mood, body.activation_level))


def _shown(state: EmotionState) -> Emotion:
    return Emotion(mood=state.mood, activation_level=state.activation_level)
