import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.memory.record import Recalled
from node.mind.errors import BadMood
from node.mind.perceiving.emotion import (
    BASELINE,
    HALF_LIFE_S,
    NEUTRAL,
    Emotions,
    EmotionState,
    faded,
    sampling,
    tone,
    weigh,
)
from node.mind.perceiving.feeling import MOODS
from node.mind.perceiving.perception import perceive
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, new_keys, open_node


def memory(kind: str, weight: float) -> Recalled:
    return Recalled(
        id=kind, kind=kind, content="x", namespace="private", score=0.5, ts_ms=0, tags=(), source=None, weight=weight
    )


async def events_of(node: Node) -> list[dict[str, Any]]:
    log = await node.events.log(limit=500)
    return [entry for entry in log.items if entry.event_type == "emotion_state_updated"]  # type: ignore[misc]


def test_half_of_a_mood_is_gone_after_its_half_life_and_then_it_is_neutral() -> None:
    angry = EmotionState("angry", 1.0)
    assert faded(angry, 0) == angry
    half = faded(angry, HALF_LIFE_S)
    assert (half.mood, half.activation_level) == ("angry", round(BASELINE + (1 - BASELINE) / 2, 4))
    assert faded(angry, 10 * HALF_LIFE_S) == EmotionState(NEUTRAL, pytest.approx(BASELINE, abs=0.001))
    assert faded(EmotionState("sad", 0.0), HALF_LIFE_S).activation_level == pytest.approx(BASELINE / 2)


@given(st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6))
def test_fading_goes_one_way_and_in_steps_as_at_once(level: float, first: float, second: float) -> None:
    state = EmotionState("happy", level)
    once, twice = faded(state, first + second), faded(faded(state, first), second)
    assert abs(once.activation_level - twice.activation_level) < 0.001
    assert abs(once.activation_level - BASELINE) <= abs(level - BASELINE) + 0.001
    assert faded(state, -5) == faded(state, 0)


def test_working_memory_weighs_a_tenth_more_over_the_threshold_and_never_over_one() -> None:
    recalled = [memory("semantic", 0.54), memory("working", 0.5), memory("working", 0.98)]
    calm = weigh(recalled, EmotionState("happy", 0.7))
    assert calm == tuple(recalled)
    stirred = weigh(recalled, EmotionState("happy", 0.71))
    assert [(one.kind, round(one.weight, 3)) for one in stirred] == [
        ("working", 1.0),
        ("working", 0.55),
        ("semantic", 0.54),
    ]
    assert "mood" in stirred[0].why
    assert stirred[2].why == ()


def test_a_stressed_twin_is_short_and_a_happy_one_freer() -> None:
    usual = sampling(EmotionState())
    assert sampling(EmotionState("stressed", 1.0)).max_tokens < usual.max_tokens
    assert sampling(EmotionState("excited", 1.0)).temperature > usual.temperature == 0
    for mood in (*MOODS, "panic"):
        assert 0 <= sampling(EmotionState(mood, 1.0)).temperature <= 0.5
        assert (tone(EmotionState(mood, 1.0)) == "") == (mood == NEUTRAL)
    assert "short and direct" in tone(EmotionState("stressed", 0.9))


def test_what_is_heard_and_how_work_ends_move_the_mood_and_it_survives(tmp_path: Path) -> None:
    async def main() -> None:
        keys = new_keys()
        async with open_node(FakeSwarm(), tmp_path / "a", keys=keys) as node:
            emotions = Emotions(node.database, node.events, now=node.clock)
            await emotions.load()
            assert emotions.current() == EmotionState()
            assert await emotions.felt(perceive("What is 2 + 3?")) == EmotionState()
            heard = await emotions.felt(perceive("I am SO ANGRY!!!"))
            assert heard.mood == "angry"
            assert heard.activation_level > 0.6
            node.clock.advance(HALF_LIFE_S)
            faded_now = emotions.current()
            assert BASELINE < faded_now.activation_level < heard.activation_level
            calmer = await emotions.outcome(good=True)
            assert calmer.activation_level < faded_now.activation_level
            stress = await emotions.outcome(good=False)
            assert stress.activation_level > calmer.activation_level
        async with open_node(FakeSwarm(), tmp_path / "a", keys=keys) as node:
            node.clock.advance(HALF_LIFE_S)
            again = Emotions(node.database, node.events, now=node.clock)
            await again.load()
            assert again.current() == stress

    asyncio.run(main())


def test_watchers_are_told_of_changes_and_not_of_every_tick(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            emotions = Emotions(node.database, node.events, now=node.clock)
            await emotions.load()
            await emotions.set("happy", 0.5)
            for level in (0.52, 0.54, 0.56, 0.58):
                await emotions.set("happy", level)
            assert len(await events_of(node)) == 1
            await emotions.set("happy", 0.75)
            await emotions.set("sad", 0.75)
            assert len(await events_of(node)) == 3

    asyncio.run(main())


@pytest.mark.parametrize(("mood", "level"), [("", 0.5), ("Angry", 0.5), ("x" * 33, 0.5), ("a\nb", 0.5), ("sad", 1.1)])
def test_a_mood_is_a_word(tmp_path: Path, mood: str, level: float) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            emotions = Emotions(node.database, node.events, now=node.clock)
            with pytest.raises(BadMood):
                await emotions.set(mood, level)
            assert emotions.current() == EmotionState()

    asyncio.run(main())
